"""The companion of a separation: what it hears is what the stages will hear, and nothing hangs on it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pysubs2
import pytest

from fakes import Array, FakeSeparator, noise
from sounds import OneByOne
from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.audio.source import MONO_FRAMES, AudioSource
from stemscribe.audio.writer import StemWriter
from stemscribe.errors import StageError
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job, Options
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import companion, live, runner
from stemscribe.pipeline.companion import AHEAD, LIVE, Companion, start
from stemscribe.pipeline.live import Finished, FinishedVocals, Live, Request, latest_journal, subtitles_of
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.pipeline.stages import asr, speech_detection
from stemscribe.pipeline.stages.asr import Asr, Recogniser
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.stages.speech_detection import SpeechDetection
from stemscribe.pipeline.workflows import Step, Workflow
from stemscribe.records import write_record
from stemscribe.separation.finish import VOCALS, StemFiles, write_stems
from stemscribe.separation.follower import Follower
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import AS_IT_IS, plan_for, separate
from stemscribe.speech.activity import _in_hops, level_db
from stemscribe.speech.ahead import HEARD, Hearings
from stemscribe.speech.faster_whisper import SAMPLE_RATE, Listening
from stemscribe.transcript import Segment, Word

from .conftest import NOWHERE, UNREHEARSED, Sums

RATE = 44100
SECONDS = 75
WINDOW = 3 * RATE
WORDS = ("the", "window", "seams", "were", "cut", "and", "nothing", "of", "it", "was", "lost")


class Detector:
    """Is sure of speech in whatever is loud."""

    def __init__(self, folder: Path) -> None: ...

    def hear(self, blocks: Iterable[Array]) -> Iterator[tuple[Array, Array]]:
        for hops in _in_hops(blocks):
            level = level_db(hops)
            yield (level[0] > -40).astype(np.float32), level


@dataclass
class Reader(OneByOne):
    """Reads words out of the samples, every one of them; counts how often it listens."""

    listened: int = 0

    def __call__(self, folder: Path, **_: object) -> Reader:
        return self

    def language_of(self, audio: Array) -> dict[str, float]:
        return {"en": 0.75, "de": 0.25}

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        self.listened += 1
        step = SAMPLE_RATE
        sums = [zlib.crc32(audio[first : first + step].tobytes()) for first in range(0, len(audio) - step + 1, step)]
        words = tuple(
            Word(index + 0.1, index + 0.8, f" {WORDS[each % len(WORDS)]}", 0.9) for index, each in enumerate(sums)
        )
        if not words:
            return []
        text = "".join(word.text for word in words).strip()
        return [Segment(words[0].start, words[-1].end, text, listening.language, words, -0.2, 0, 1.0, listening.audio)]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader()
    monkeypatch.setattr(asr, "FasterWhisper", made)
    monkeypatch.setattr(live, "SpeechDetector", Detector)
    monkeypatch.setattr(speech_detection, "SpeechDetector", Detector)
    return made


def bursts(*, inverted: bool = False, level: float = 0.2) -> Array:
    """Noise of four seconds and of nine in turn, with pauses of four, and hiss; maybe wired wrongly in the middle."""
    sound = noise(SECONDS * RATE, level=level)
    sound[1] = sound[0]
    for second in range(SECONDS):
        if second % 21 not in {*range(4, 8), *range(12, 21)}:
            sound[:, second * RATE : (second + 1) * RATE] *= np.float32(0.0003)
    if inverted:
        sound[1, 17 * RATE : 40 * RATE] *= np.float32(-1)
    return sound


@dataclass
class Film:
    """A film that is being separated, and what comes of it."""

    folder: Path
    job: Job
    sound: Array
    separator: FakeSeparator
    centre: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir()
        frames = self.sound.shape[1]
        info = MixInfo(frames, RATE, 0.0, 0.1, 0.5, 0.5, 0, "", 2.5, 0, 0)
        _write(self.folder / "mix.flac", self.sound * np.float32(0.5))
        if self.centre:
            info = replace(info, centre=CentreInfo(0.1, 0.5, 0.5))
            _write(self.folder / "centre.flac", self.sound[:1] * np.float32(0.4))
        write_record(self.folder / "mix_info.json", info)
        plan = plan_for(self.separator, frames)  # type: ignore[arg-type]
        self.layout = Layout(plan, ("vocals",), 2, "arithmetic")

    @property
    def paths(self) -> dict[str, Path]:
        names = {"mix": "mix.flac", "vocals": "vocals.wav", **({"centre": "centre.flac"} if self.centre else {})}
        records = ("mix_info", "separation", "regions")
        return {name: self.folder / file for name, file in names.items()} | {
            name: self.folder / f"{name}.json" for name in records
        }

    def context(self, name: str, **outputs: str) -> StageContext:
        scratch = self.folder / f"scratch_{name}"
        scratch.mkdir(exist_ok=True)
        return StageContext(
            job=self.job,
            inputs=self.paths,
            outputs={output: self.folder / file for output, file in outputs.items()},
            models={speech_detection.MODEL: self.folder, self.job.options.model: self.folder},
            environments=self.folder,
            scratch=scratch,
            progress=lambda progress: None,
        )

    def windows(self) -> Iterator[int]:
        """Separate it; gives how many windows are committed."""
        with AudioSource(self.folder / "mix.flac", gain=0.5) as mix, Journal(self.folder, self.layout) as journal:
            yield 0
            for window in separate(mix.read, self.separator, self.layout.plan, AS_IT_IS, journal):  # type: ignore[arg-type]
                yield window.index + 1

    def finish(self) -> None:
        """Write the vocals and the regions."""
        options = self.job.options
        files = StemFiles({VOCALS: self.paths["vocals"]}, RATE, "wav", options.stem_subtype, options.clip_mode)
        with AudioSource(self.folder / "mix.flac", gain=0.5) as mix, Journal(self.folder, self.layout) as journal:
            stems = write_stems(journal, self.layout, mix.read, files)
        stem = {"peak": stems[VOCALS].peak, "gain": stems[VOCALS].gain}
        frames = self.layout.plan.total_frames
        record = SeparationRecord("arithmetic", "", RATE, frames, 1, RATE, 0, {VOCALS: stem})
        write_record(self.folder / "separation.json", record)
        SpeechDetection().run(self.context("detection", regions="regions.json"))

    def recognised(self, ahead: Path | None) -> bytes:
        name = "alone" if ahead is None else "helped"
        context = replace(self.context(name, segments=f"segments_{name}.json"), ahead=ahead)
        Asr().run(context)
        return context.outputs["segments"].read_bytes()


def _write(path: Path, sound: Array) -> None:
    with StemWriter(path, RATE, len(sound), sound.shape[1], form="flac", subtype="pcm24") as writer:
        writer.write(sound)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Film]:
    def made(gain: float = 0.8, *, language: str = "en", centre: bool = False, inverted: bool = False, **options: str):  # type: ignore[no-untyped-def]
        job = Job("job", "film.mkv", "", "transcribe", language, "", "", Options(**options))  # type: ignore[arg-type]
        separator = FakeSeparator((gain,), window_frames=WINDOW)
        return Film(tmp_path / "film", job, bursts(inverted=inverted), separator, centre)

    return made


@dataclass
class Shown:
    """What a companion showed, and when."""

    texts: list[tuple[int, str]]
    as_it_was: str = ""  # the first text, read to the end by somebody who had begun when it was the latest

    @property
    def subtitles(self) -> list[pysubs2.SSAFile]:
        return [pysubs2.SSAFile.from_string(text, format_="srt") for _, text in self.texts]


def accompanied(film: Film, ahead: Path) -> Shown:
    """Separate a film, with a companion that does what it can after each window."""
    shown = Shown([])
    target = film.folder / LIVE
    with ExitStack() as opened:
        windows = film.windows()
        next(windows)
        follower = opened.enter_context(Follower(film.folder))
        context = film.context("live")
        finished = Finished(context, follower, opened)
        recogniser = Recogniser(context, opened, finished.sounds, Hearings(ahead), keeps=True)
        one = Live(context, finished, recogniser, target)
        for committed in windows:
            for _ in range(100):
                one._next_writing = 0.0
                if not one.go_on():
                    break
            if target.exists():
                if not shown.texts and sys.platform != "win32":
                    reading = opened.enter_context(target.open(encoding="utf-8"))
                shown.texts.append((committed, target.read_text(encoding="utf-8")))
        if shown.texts and sys.platform != "win32":
            shown.as_it_was = reading.read()
    return shown


CASES: list[dict[str, object]] = [
    {},
    {"language": "auto"},
    {"centre": True},
    {"inverted": True},
    {"stem_subtype": "pcm24"},
    {"stem_subtype": "float"},
    {"clip_mode": "clamp"},
    {"asr_audio": "vocals"},
]


@pytest.mark.parametrize("asked", CASES, ids=str)
def test_what_is_heard_ahead_is_what_would_have_been_heard(
    tmp_path: Path, reader: Reader, film: Callable[..., Film], asked: dict[str, object]
) -> None:
    made, ahead = film(**asked), tmp_path / "ahead"
    accompanied(made, ahead)
    made.finish()
    reader.listened = 0
    alone = made.recognised(None)
    needed, reader.listened = reader.listened, 0
    assert made.recognised(ahead) == alone
    assert json.loads(alone)["segments"]
    assert reader.listened < needed / 2, "what was heard ahead was not found"
    for path in (made.folder / "scratch_detection").glob("*.hops"):
        early = (made.folder / "scratch_live" / path.name).read_bytes()
        assert early
        assert path.read_bytes().startswith(early), "the detector was given something else"


def test_vocals_that_are_written_at_another_level_are_heard_anew(
    tmp_path: Path, reader: Reader, film: Callable[..., Film]
) -> None:
    made, ahead = film(3.0), tmp_path / "ahead"
    accompanied(made, ahead)
    made.finish()
    reader.listened = 0
    alone = made.recognised(None)
    needed, reader.listened = reader.listened, 0
    assert made.recognised(ahead) == alone
    assert reader.listened == needed
    assert (ahead / HEARD).stat().st_size > 1000, "there was something to be found"


def test_subtitles_grow_while_windows_come_and_are_whole_at_any_time(
    tmp_path: Path, reader: Reader, film: Callable[..., Film]
) -> None:
    made = film()
    shown = accompanied(made, tmp_path / "ahead")
    cues = [len(subtitles) for subtitles in shown.subtitles]
    assert cues == sorted(cues)
    assert 0 < cues[0] < cues[-1]
    assert shown.texts[0][0] < len(made.layout.plan) / 2, "the film was half over before there was anything to read"
    assert shown.as_it_was == shown.texts[0][1] or sys.platform == "win32"
    first = shown.subtitles[-1][0]
    assert 4.0 + 2.5 - 0.7 <= first.start / 1000 <= 4.0 + 2.5 + 0.7, "not on the film's clock"


def test_the_finished_vocals_are_those_of_the_file(tmp_path: Path, reader: Reader, film: Callable[..., Film]) -> None:
    made = film()
    list(made.windows())
    made.finish()
    info = msgspec.json.decode((made.folder / "mix_info.json").read_bytes(), type=MixInfo)
    with Follower(made.folder) as follower, AudioSource(made.paths["vocals"]) as file:
        follower.look()
        vocals = FinishedVocals(follower, info, made.job.options)
        for span in ((0, 10), (-5, 5), (WINDOW - 3, 2 * WINDOW + 3), (file.frames - 5, file.frames + 5), (-9, -3)):
            np.testing.assert_array_equal(vocals.read(*span), file.read(*span))
        assert file.frames > MONO_FRAMES


def test_what_was_heard_before_a_companion_was_killed_is_shown_at_once(
    tmp_path: Path, reader: Reader, film: Callable[..., Film]
) -> None:
    made, ahead = film(), tmp_path / "ahead"
    before = accompanied(made, ahead).texts[-1][1]
    reader.listened = 0
    (made.folder / LIVE).unlink()
    with ExitStack() as opened:
        context = made.context("live")
        finished = Finished(context, opened.enter_context(Follower(made.folder)), opened)
        one = Live(context, finished, Recogniser(context, opened, finished.sounds, Hearings(ahead)), made.folder / LIVE)
        while one.go_on():
            one._next_writing = 0.0
    assert (made.folder / LIVE).read_text(encoding="utf-8") == before
    assert reader.listened == 0


def test_nothing_heard_is_no_text() -> None:
    assert subtitles_of([], 1.0) == ""


def test_the_journal_that_was_written_last_is_followed(tmp_path: Path) -> None:
    assert latest_journal(tmp_path) is None
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "windows.jsonl").touch()
        time.sleep(0.02)
    assert latest_journal(tmp_path) == tmp_path / "a"


def request(tmp_path: Path, asker: int) -> bytes:
    job = Job("job", "film.mkv", "", "transcribe", "en", "", "")
    return msgspec.json.encode(Request(asker, job, {}, {}, str(tmp_path), str(tmp_path), str(tmp_path / LIVE)))


def test_it_ends_when_nobody_is_there_who_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "stemscribe.pipeline.live"]
    done = subprocess.run(command, input=request(tmp_path, 2**22 + 1), capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert not (tmp_path / LIVE).exists()


def started(code: str, talk: Path) -> Companion:
    with talk.open("wb") as file:
        return Companion(subprocess.Popen([sys.executable, "-c", code], stderr=file), talk)


def test_one_that_ends_by_itself_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = started("import sys; sys.exit('It broke.')", tmp_path / "talk")
    deadline = time.monotonic() + 30
    while one.pid is not None and time.monotonic() < deadline:
        one.look_after(None)
        time.sleep(0.01)
    one.look_after(None)
    one.end()
    assert caplog.messages == ["--live ended with exit code 1: It broke; the job goes on without it"]


def test_one_that_takes_too_much_is_ended_and_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = started("import time; time.sleep(60)", tmp_path / "talk")
    one.look_after(10**15)
    assert one.pid is not None
    one.look_after(1)
    assert one.pid is None
    assert caplog.messages == ["--live would take more memory than --max-ram allows: the job goes on without it"]


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").write_bytes(bytes(1000))
    return {"whisper-base": tmp_path / "model"}


@pytest.mark.parametrize(("expected", "limit"), [(0, 300_000_000), (10**9, 1_200_000_000), (10**15, None)])
def test_one_for_which_there_is_no_memory_is_not_started(
    folder: JobFolder,
    model: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    expected: int,
    limit: int | None,
) -> None:
    ahead = tmp_path / "ahead"
    begun = start(folder, folder.job, {}, model, tmp_path, ahead, expected=expected, max_memory=limit)
    assert begun is None
    (said,) = caplog.messages
    assert said.startswith("the job goes on without --live: with it, it needs ")


def test_one_core_is_told_of_and_is_no_reason(
    folder: JobFolder,
    model: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(companion.os, "cpu_count", lambda: 1)
    begun = start(folder, folder.job, {}, model, tmp_path, tmp_path / "ahead")
    assert begun is not None
    begun.end()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "this machine has one core, which --live takes its share of: the job will take longer"
    ]


@dataclass
class Subtitles(Sums):
    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("srt", "transcript.srt"),)

    def run(self, context: StageContext) -> None:
        context.outputs["srt"].write_text("0")


@dataclass
class Beside:
    """In place of a companion."""

    ended: int = 0
    looked_after: int = 0

    def end(self) -> None:
        self.ended += 1

    def look_after(self, limit: int | None) -> None:
        self.looked_after += 1


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> list[Sums]:
    names = ("demux", "source_separation", "asr")
    made: list[Sums] = [Sums(name, names[:index]) for index, name in enumerate(names)]
    made.append(Subtitles("export", ("asr",)))
    workflow = Workflow("sums", "", tuple(Step(stage, f"{stage.name}_folder") for stage in made))
    monkeypatch.setattr(runner, "workflow_named", lambda name: workflow)
    return made


def test_it_is_there_while_a_film_is_separated_and_only_if_it_was_asked_for(
    house: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, places = Beside(), []

    def begin(of: JobFolder, job: Job, made: dict[str, Path], models: object, windows: Path, ahead: Path, **_: object):  # type: ignore[no-untyped-def]
        places.append((sorted(made), windows, ahead))
        assert windows.is_dir()
        ahead.mkdir(parents=True)
        (of.path / LIVE).write_text("")
        return beside

    monkeypatch.setattr(runner, "start", begin)
    seen: list[tuple[str, int, bool]] = []
    for stage in house[:3]:
        stage.before = lambda context, name=stage.name: seen.append(  # type: ignore[misc]
            (name, beside.ended, context.ahead is not None and context.ahead.exists())
        )
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    assert not places
    house[1].version, house[1].adds = 2, 5
    seen.clear()
    rules = replace(UNREHEARSED, live=True)
    runner.run(folder, models, NOWHERE, rules=rules)
    assert seen == [("source_separation", 0, False), ("asr", 1, True)]
    ((made, windows, ahead),) = places
    assert made == ["demux"]
    assert windows.parent == folder.path / "source_separation_folder" / ".scratch"
    assert ahead.parent == folder.path / "asr_folder" / AHEAD
    assert (beside.ended, beside.looked_after) == (1, 1)
    assert not (folder.path / LIVE).exists()
    assert not list(folder.path.rglob(AHEAD))


def test_it_is_ended_when_the_separation_fails(
    house: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = Beside()
    monkeypatch.setattr(runner, "start", lambda *_, **__: beside)

    def fail(context: StageContext) -> None:
        raise StageError("It cannot be done.")

    house[1].before = fail
    with pytest.raises(StageError):
        runner.run(folder, models, NOWHERE, rules=replace(UNREHEARSED, live=True))
    assert beside.ended == 1
