"""The translation of a whole job: resumed, deterministic, and never a reason to recognise anything again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pysubs2
import pytest

from fakes import Array, FakeSeparator, noise, write_film
from sounds import OneByOne, said
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.probe import identity
from stemscribe.audio.writer import StemWriter
from stemscribe.cli.run import _ANSWERS
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job, Options
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.pipeline.stages import asr, source_separation, speech_detection, translation
from stemscribe.pipeline.stages.export_translation import ExportTranslation
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.pipeline.stages.translation import Translate
from stemscribe.records import read_record, write_record
from stemscribe.speech.activity import level_db
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.recognition import Dropped, Recognition
from stemscribe.speech.sound import SAMPLE_RATE
from stemscribe.speech.translation import Translation, Untranslated
from stemscribe.transcript import Region, Segment, Transcript, Word

RATE = 44100
REGIONS = (Region(0.0, 4.0), Region(5.0, 9.0), Region(9.0, 12.0), Region(13.0, 15.0))
FOUND = Regions(REGIONS, REGIONS)
SAID = (
    said("guten Abend", 1.0, language="de"),
    said("wie geht es", 2.0, language="de"),
    said("all right", 6.0),
    said("sehr gut", 9.5, language="de", heard="mix"),
)
DROPPED = (Dropped(said("Vielen Dank", 13.5, language="de"), "the vocals are silent here"),)
TRANSCRIPT = Recognition("de", None, "whisper-base", SAID, DROPPED)


@dataclass
class Words(OneByOne):
    """A recogniser that writes a word for each second in which there is sound, and remembers what it was given."""

    asked: list[tuple[float, Listening]] = field(default_factory=list)
    fails_at: int = -1
    loaded: int = 0

    def __call__(self, folder: Path, **_: object) -> Words:
        self.loaded += 1
        return self

    def language_of(self, audio: Array) -> dict[str, float]:
        return {"de": 1.0}

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        if len(self.asked) == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append((round(len(audio) / SAMPLE_RATE, 2), listening))
        whole = range(int(len(audio) / SAMPLE_RATE))
        level = int(10000 * float(np.sqrt(np.mean(np.square(audio)))))  # tells the audio that was given
        language = "in" if listening.task == "translate" else "auf"
        words = tuple(Word(second, second + 0.9, f" {language}{second}x{level}", 0.9) for second in whole)
        if not words:
            return []
        text = "".join(word.text for word in words).strip()
        return [Segment(0.0, words[-1].end, text, listening.language, words, -0.2, 0.0, 1.0, listening.audio)]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    made = Words()
    monkeypatch.setattr(translation, "FasterWhisper", made)
    return made


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Fifteen seconds of film before their translation, with the mix twice as loud as the vocals."""
    sound = noise(15 * RATE)
    paths = {"mix": tmp_path / "mix.flac", "vocals": tmp_path / "vocals.wav"}
    for name, level in (("mix", 1.0), ("vocals", 0.5)):
        form = "flac" if name == "mix" else "wav"
        with StemWriter(paths[name], sample_rate=RATE, channels=2, frames=15 * RATE, form=form) as writer:
            writer.write(sound * np.float32(level))
    paths |= {name: tmp_path / f"{name}.json" for name in ("mix_info", "separation", "regions", "segments")}
    frames = 15 * RATE
    write_record(paths["mix_info"], MixInfo(frames, RATE, 0.0, 0.1, 0.5, 1.0, 0, "", 2.5, 0, 0))
    stems = {"vocals": {"peak": 0.5, "gain": 1.0}}
    write_record(paths["separation"], SeparationRecord("htdemucs", "", RATE, frames, 1, RATE, 0, stems))
    write_record(paths["regions"], FOUND)
    write_record(paths["segments"], TRANSCRIPT)
    (tmp_path / "scratch").mkdir()
    return StageContext(
        job=Job("job", "/films/film.mkv", "", "translate", "de", "", ""),
        inputs=paths,
        outputs={"translation": tmp_path / "translation.json"},
        models={"whisper-base": tmp_path / "whisper"},
        environments=tmp_path,
        scratch=tmp_path / "scratch",
        progress=lambda progress: None,
    )


def translated(context: StageContext) -> Translation:
    Translate().run(context)
    return read_record(context.outputs["translation"], Translation)


def test_every_region_that_has_words_is_translated_where_it_was_heard_best(context: StageContext, words: Words) -> None:
    found = translated(context)
    assert (found.language, found.source_language, found.model) == ("en", "de", "whisper-base")
    assert [(length, listening.audio, listening.task) for length, listening in words.asked] == [
        (2.6, "vocals", "translate"),
        (1.2, "mix", "translate"),
    ]
    first, taken_over, last = found.segments
    assert taken_over == SAID[2]
    assert first.text.startswith("in0x")
    assert 1.0 <= first.start < first.end <= 3.9
    assert 9.5 <= last.start < last.end <= 10.5
    assert int(last.text.rpartition("x")[2]) > 1.8 * int(first.text.rpartition("x")[2]), "one is as loud as the mix"
    assert found.untranslated == ()


def test_what_is_spoken_in_english_needs_no_model(context: StageContext, words: Words) -> None:
    lines = tuple(replace(segment, language="en") for segment in SAID)
    write_record(context.inputs["segments"], replace(TRANSCRIPT, language="en", segments=lines))
    assert translated(context).segments == lines
    assert words.loaded == 0


def test_what_has_no_translation_is_listed_and_said(
    context: StageContext, words: Words, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Words, "hear", lambda *given: [])
    found = translated(context)
    assert found.segments == (SAID[2],)
    assert found.untranslated == tuple(
        Untranslated(one.start, one.end, one.text, "de") for one in (SAID[0], SAID[1], SAID[3])
    )
    assert "without a translation: 3 segments of the transcript; translation.json lists them" in caplog.messages


@pytest.mark.parametrize("stopped_at", [0, 1])
def test_a_resumed_translation_is_that_of_an_undisturbed_one(
    context: StageContext, words: Words, stopped_at: int
) -> None:
    words.fails_at = stopped_at
    with pytest.raises(KeyboardInterrupt):
        Translate().run(context)
    words.fails_at = -1
    resumed = translated(context)
    assert len(words.asked) == 2, "what was translated before is not translated again"
    fresh = context.scratch.parent / "fresh"
    fresh.mkdir()
    assert translated(replace(context, scratch=fresh)) == resumed


def test_what_is_in_no_region_is_not_forgotten(context: StageContext, words: Words) -> None:
    write_record(context.inputs["regions"], Regions(REGIONS[:1], REGIONS[:1]))
    found = translated(context)
    assert [segment.text for segment in found.segments[1:]] == ["all right"]
    assert [lost.text for lost in found.untranslated] == ["sehr gut"]


@pytest.mark.parametrize(("language", "tried"), [("de", 1), ("auto", 1), ("en", 0)])
def test_a_rehearsal_tries_the_model_even_where_nothing_is_said(
    context: StageContext, words: Words, language: str, tried: int
) -> None:
    write_record(context.inputs["regions"], Regions(REGIONS[:1], ()))
    write_record(context.inputs["segments"], Recognition("de", None, "whisper-base", (), ()))
    seen: list[tuple[float, int]] = []

    def told(progress: Progress) -> None:
        seen.append((progress.done, words.loaded))

    job = replace(context.job, source_language=language)
    found = translated(replace(context, job=job, rehearsal=True, progress=told))
    assert found.segments == ()
    assert [listening.task for _, listening in words.asked] == ["translate"] * tried
    assert seen == [(0, tried), (1, tried)], "the model is loaded before the work is timed"
    words.asked.clear()
    translated(replace(context, job=job, scratch=context.scratch.parent / "another"))
    assert words.asked == []


def test_the_translation_is_exported_on_the_clock_of_the_film(context: StageContext, words: Words) -> None:
    record = translated(context)
    folder = context.scratch.parent
    outputs = {one.name: folder / one.file for one in ExportTranslation().outputs(Options())}
    assert sorted(path.name for path in outputs.values()) == [
        f"translation.en.{ending}" for ending in ("json", "srt", "txt", "vtt")
    ]
    inputs = {"mix_info": context.inputs["mix_info"], "translation": context.outputs["translation"]}
    ExportTranslation().run(replace(context, inputs=inputs, outputs=outputs))
    transcript = read_record(outputs["translation_json"], Transcript)
    assert (transcript.language, transcript.clock, transcript.media) == ("en", "film", "film.mkv")
    assert transcript.segments == tuple(segment.on_film_clock(2.5) for segment in record.segments)
    for name in ("translation_srt", "translation_vtt"):
        cues = pysubs2.load(str(outputs[name]), encoding="utf-8")
        assert cues[0].start == pytest.approx(1000 * (record.segments[0].start + 2.5), abs=1)
    assert "all right" in outputs["translation_text"].read_text(encoding="utf-8")


class Detector:
    """Sure of speech all the time."""

    def __init__(self, folder: Path) -> None:
        """There is nothing to load."""

    def hear(self, blocks: Iterator[Array]) -> Iterator[tuple[Array, Array]]:
        for block in blocks:
            hops = block[0][: block.shape[1] // 512 * 512].reshape(-1, 512)
            yield np.ones(len(hops), np.float32), level_db(hops)[None]


@pytest.fixture
def prepare(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, words: Words
) -> Callable[[str], JobFolder]:
    """Makes jobs of one film, in whose runs all models are arithmetic."""
    separator = FakeSeparator(gains=(0.9,), window_frames=RATE)
    monkeypatch.setattr(source_separation, "open_onnx", lambda *arguments, **options: separator)
    monkeypatch.setattr(speech_detection, "SpeechDetector", Detector)
    monkeypatch.setattr(asr, "FasterWhisper", words)
    monkeypatch.setattr(ModelStore, "fetch", lambda store, name: tmp_path)
    film = write_film(tmp_path / "film.wav", [(noise(6 * RATE), "deu")], rate=RATE)
    options = Options(engine="onnx", device="cpu", gate="off")

    def made(workflow: str) -> JobFolder:
        return create(tmp_path / "out", Job("", str(film), identity(film), workflow, "de", "", "", options))

    return made


def run(folder: JobFolder, tmp_path: Path, words: Words) -> tuple[dict[str, Path], list[str]]:
    """What a job makes, and the tasks that its recogniser was given."""
    words.asked.clear()
    store = ModelStore(tmp_path / "models", load_catalog(), offline=True)
    outcome = runner.run(folder, store, tmp_path / "venv", rules=runner.Rules(rehearse=False))
    return dict(outcome.artefacts), [listening.task for _, listening in words.asked]


def test_after_a_transcript_only_the_translation_is_made(
    prepare: Callable[[str], JobFolder], tmp_path: Path, words: Words, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare("transcribe")
    transcript, tasks = run(first, tmp_path, words)
    assert set(tasks) == {"transcribe"}
    second = prepare("translate")
    with caplog.at_level("INFO", logger="stemscribe"):
        both, tasks = run(second, tmp_path, words)
    assert set(tasks) == {"translate"}
    skipped = ("demux", "source_separation", "speech_detection", "asr", "export")
    for stage in skipped:
        assert f"⏭  Stage {stage}: SKIPPED ({first.path.name} made the same)" in caplog.messages
    assert not transcript.keys() - both.keys()
    assert all(both[name].read_bytes() == path.read_bytes() for name, path in transcript.items())
    answers = [both[name].name for name in _ANSWERS if name in both]
    assert answers[-4:] == ["transcript.srt", "transcript.txt", "translation.en.srt", "translation.en.txt"]
    assert both["translation_srt"].read_text(encoding="utf-8").count("in0x") == 1
    assert "in0x" not in both["srt"].read_text(encoding="utf-8")


def test_a_translation_is_no_part_of_a_transcript(
    prepare: Callable[[str], JobFolder], tmp_path: Path, words: Words
) -> None:
    run(prepare("translate"), tmp_path, words)
    made, tasks = run(prepare("transcribe"), tmp_path, words)
    assert tasks == []
    assert not [name for name in made if "translation" in name]


def test_its_receipt_tells_what_a_translation_depends_on(
    prepare: Callable[[str], JobFolder], tmp_path: Path, words: Words
) -> None:
    folder = prepare("translate")
    run(folder, tmp_path, words)
    assert run(folder, tmp_path, words)[1] == []
    receipt = folder.manifest.stage("translation").receipt
    assert receipt is not None
    depended = receipt.dependencies
    assert depended.options == {"model": "whisper-base", "device": "cpu", "threads": 0}
    assert set(depended.inputs) == {"mix", "mix_info", "vocals", "separation", "regions", "segments"}
    assert set(depended.models) == {"whisper-base"}
    assert {"pause", "doubt", "beam_size"} <= depended.parameters.keys()
