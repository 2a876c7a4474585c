"""The workflow `subtitle`, end to end: the film as it was, and its lines where they are spoken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pysubs2
import pytest

from fakes import FakeSeparator, write_film
from sounds import OneByOne
from stemscribe.arrays import Array
from stemscribe.audio.decode import TrackDecoder
from stemscribe.jobs.folder import create
from stemscribe.jobs.job import Options
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.prepare import Request, checked
from stemscribe.pipeline.stages import asr, source_separation
from stemscribe.speech.faster_whisper import SAMPLE_RATE
from stemscribe.transcript import Segment, Word

from .conftest import Workplace

pytestmark = [pytest.mark.models]

CLICK = 8.25  # on the film's clock


class ClickHearer(OneByOne):
    """A recogniser that hears one word, where it is loudest."""

    def __init__(self, folder: Path, **_: object) -> None:
        pass

    def language_of(self, audio: Array) -> dict[str, float]:
        return {"en": 1.0}

    def hear(self, audio: Array, listening: object) -> list[Segment]:
        at = float(np.argmax(np.abs(audio))) / SAMPLE_RATE
        word = Word(at, at + 0.3, " Click!", 0.9)
        return [Segment(at, at + 0.3, "Click!", "en", (word,), -0.1, 0.0, 1.0)]


def packets(path: Path) -> dict[str, list[str]]:
    """A hash of each packet of picture and sound."""
    with av.open(str(path)) as film:
        found: dict[str, list[str]] = {"video": [], "audio": []}
        for packet in film.demux(*film.streams.video, *film.streams.audio):
            if packet.size:
                found[packet.stream.type].append(hashlib.sha256(bytes(packet)).hexdigest())
        return found


def cues(path: Path) -> list[tuple[int, int, str]]:
    """Start, end (in milliseconds of the film's clock) and text of what is shown."""
    with av.open(str(path)) as film:
        origin = (film.start_time or 0) / 1000
        found = []
        for packet in film.demux(subtitles=0):
            for each in packet.decode() if packet.size else ():
                start, length = (float(time * packet.time_base) * 1000 for time in (packet.pts, packet.duration))
                if text := each.dialogue.decode().replace("\\N", "\n"):
                    found.append((round(start - origin), round(start - origin + length), text))
        return found


@pytest.mark.parametrize("start_time", [0.0, 3.5])
@pytest.mark.parametrize(("container", "begins"), [("mkv", 0.0), ("mkv", 5.0), ("mp4", 0.0), ("mp4", 5.0)])
def test_a_line_is_shown_when_it_is_spoken_wherever_the_work_and_the_clock_begin(
    tmp_path: Path,
    model: Callable[[str], Path],
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    container: str,
    begins: float,
    start_time: float,
) -> None:
    """By the written film alone: where its sound clicks, its subtitle says so."""
    model("silero-vad")
    with_speech = Path(__file__).parents[1] / "media" / "jfk_1961.flac"
    speech = np.concatenate(list(TrackDecoder(with_speech, 0, 48000).blocks()), axis=1)[:, : 11 * 48000]
    speech = np.ascontiguousarray(np.tile(speech * np.float32(0.4), (2, 2))[:2])
    speech[:, round(CLICK * 48000) : round(CLICK * 48000) + 48] = 0.99
    film = write_film(tmp_path / f"film.{container}", [(speech, "eng")], codec="aac", start=begins)
    before = packets(film)

    monkeypatch.setattr(
        source_separation, "open_onnx", lambda folder, stems, **_: FakeSeparator((1.0,), stems[:1], 44100)
    )
    monkeypatch.setattr(asr, "FasterWhisper", ClickHearer)
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: models_dir / name)
    options = Options(
        start_time=start_time,
        engine="onnx",
        gate="off",
        container=container,  # type: ignore[arg-type]
        asr_audio="vocals",
    )
    job = checked(Request(film, "subtitle", "en", options), load_catalog(), tmp_path)
    models = ModelStore(models_dir, load_catalog(), offline=True)
    outcome = runner.run(create(tmp_path / "out", job), models, tmp_path, rules=runner.Rules(rehearse=False))

    written = outcome.artefacts["subtitled"]
    assert packets(written) == before
    sound = np.concatenate(list(TrackDecoder(written, 0, 48000).blocks()), axis=1)
    heard = np.argmax(np.abs(sound).max(axis=0)) / 48000
    assert heard == pytest.approx(CLICK, abs=0.05)
    assert min(abs(start / 1000 - heard) for start, *_ in cues(written)) < 0.03


@pytest.mark.slow
def test_the_clip_gets_its_subtitles_and_can_be_verified_and_made_again(workplace: Workplace, clip: Path) -> None:
    done = workplace.run("run", "--media", clip, "-s", "en", "--workflow", "subtitle", "--start-time", "3.5")
    written = workplace.root / done.stdout.splitlines()[-1]
    assert written == workplace.job / "05_mux" / "subtitled.mp4"
    assert packets(written) == packets(clip)
    asked = pysubs2.load(str(workplace.job / "04_export" / "transcript.srt"), encoding="utf-8")
    shown = cues(written)
    assert len(shown) == len(asked) >= 2
    for (start, end, text), cue in zip(shown, asked, strict=True):
        assert (start, end) == pytest.approx((cue.start, cue.end), abs=1)
        assert text == cue.plaintext
    assert shown[0][0] >= 3500
    with av.open(str(written)) as film:
        assert film.streams.subtitles[0].language == "eng"
    assert "ask what you can do for your country" in " ".join(text for *_, text in shown).replace("\n", " ")
    name = workplace.job.name
    assert "05_mux/subtitled.mp4" in workplace.run("verify", name).stdout
    again = workplace.run("reproduce", name)
    assert "✓ 05_mux/subtitled.mp4 is the same" in again.stdout
