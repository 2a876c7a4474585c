"""Regions are heard several at a time, and come out as if one had been heard after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, noise
from sounds import OneByOne
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.writer import StemWriter
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.pipeline.stages import asr
from stemscribe.pipeline.stages.asr import Asr
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import write_record
from stemscribe.speech.faster_whisper import SAMPLE_RATE, Listening
from stemscribe.transcript import Region, Segment, Word

REGIONS = tuple(Region(float(start), start + length) for start, length in ((0, 2.0), (4, 3.0), (9, 1.5), (12, 2.5)))
RATE, PATIENCE = 8000, 10.0


@dataclass
class Reader(OneByOne):
    """A recogniser whose words tell how long and how loud a region is.

    Attributes:
        meeting: where calls wait for each other.
        fails_at: the length of the region that it fails at, in seconds.
        asked: how many regions it was loaded for.
    """

    at_once: int = 2
    meeting: threading.Barrier | None = None
    fails_at: float = 0.0
    heard: list[float] = field(default_factory=list)
    asked: int = 0

    def __call__(self, folder: Path, *, at_once: int, **_: object) -> Reader:
        self.asked = at_once
        return self

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        length = round(len(audio) / SAMPLE_RATE, 2)
        if self.meeting is not None:
            self.meeting.wait(PATIENCE)
        if length == self.fails_at:
            raise RuntimeError("the model fails")
        self.heard.append(length)
        word = Word(0.1, length - 0.1, f" region{int(1000 * float(np.abs(audio).mean()))}x{length:g}", 0.9)
        return [Segment(0.1, length - 0.1, word.text.strip(), "en", (word,), -0.2, 0.0, 1.0, listening.audio)]


@dataclass
class Heard:
    """What came of a run: the stage's file, and the progress that it told."""

    content: bytes
    progress: list[tuple[float, float]]


Hear = Callable[[Reader], Heard]


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Fifteen seconds of film before they are recognised."""
    paths = {"mix": tmp_path / "mix.flac", "vocals": tmp_path / "vocals.wav"}
    for name in paths:
        form = "flac" if name == "mix" else "wav"
        with StemWriter(paths[name], sample_rate=RATE, channels=2, frames=15 * RATE, form=form) as writer:
            writer.write(noise(15 * RATE))
    paths |= {name: tmp_path / f"{name}.json" for name in ("mix_info", "separation", "regions")}
    write_record(paths["mix_info"], MixInfo(15 * RATE, RATE, 0.0, 0.1, 0.5, 1.0, 0, "", 0.0, 0, 0))
    stems = {"vocals": {"peak": 0.5, "gain": 1.0}}
    write_record(paths["separation"], SeparationRecord("htdemucs", "", RATE, 15 * RATE, 1, RATE, 0, stems))
    write_record(paths["regions"], Regions(REGIONS, REGIONS))
    (tmp_path / "scratch").mkdir()
    return StageContext(
        job=Job("job", "/films/film.mkv", "", "transcribe", "en", "", "", Options(asr_audio="vocals")),
        inputs=paths,
        outputs={"segments": tmp_path / "segments.json"},
        models={"whisper-base": tmp_path / "whisper"},
        environments=tmp_path,
        scratch=tmp_path / "scratch",
        progress=lambda progress: None,
    )


@pytest.fixture
def hear(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Hear:
    def heard(reader: Reader) -> Heard:
        told: list[tuple[float, float]] = []

        def progress(progress: Progress) -> None:
            told.append((progress.done, progress.film))

        monkeypatch.setattr(asr, "FasterWhisper", reader)
        Asr().run(replace(context, progress=progress))
        return Heard(context.outputs["segments"].read_bytes(), told)

    return heard


def test_two_at_a_time_come_out_like_one_after_the_other(context: StageContext, hear: Hear) -> None:
    alone = hear(Reader(at_once=1))
    (context.scratch / "regions.jsonl").unlink()
    together = hear(Reader(meeting=threading.Barrier(2)))
    assert together == alone
    assert alone.content.count(b"region") >= len(REGIONS)
    assert alone.progress == [(0, 0.0), (1, 4.0), (2, 9.0), (3, 12.0), (4, 14.5)]


@pytest.mark.parametrize(
    ("regions", "rehearsal", "expected"), [(1, False, 1), (2, False, 2), (4, False, 2), (1, True, 2)]
)
def test_all_cores_are_for_a_region_that_is_alone(
    context: StageContext, regions: int, rehearsal: bool, expected: int
) -> None:
    write_record(context.inputs["regions"], Regions(REGIONS[:regions], REGIONS[:regions]))
    reader = Reader(at_once=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asr, "FasterWhisper", reader)
        Asr().run(replace(context, rehearsal=rehearsal))
    assert reader.asked == expected


def test_when_one_fails_those_before_it_are_kept_and_no_other_begins(context: StageContext, hear: Hear) -> None:
    failing = Reader(fails_at=1.5)
    with pytest.raises(RuntimeError, match="the model fails"):
        hear(failing)
    assert {2.0, 3.0} <= set(failing.heard)
    again = Reader()
    resumed = hear(again)
    assert sorted(again.heard) == [1.5, 2.5]
    (context.scratch / "regions.jsonl").unlink()
    assert resumed.content == hear(Reader()).content


def test_a_run_that_has_ended_listens_no_more(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region may take minutes with a large model: an interruption waits for no more than one call of it."""
    entered, release, calls = threading.Event(), threading.Event(), []

    class Slow(Reader):
        def hear(self, audio: Array, listening: Listening) -> list[Segment]:
            calls.append(listening.audio)
            if len(audio) == REGIONS[0].duration * SAMPLE_RATE:
                assert entered.wait(PATIENCE)
                raise RuntimeError("the model fails")
            entered.set()
            release.wait(PATIENCE)
            return []

    monkeypatch.setattr(asr, "FasterWhisper", Slow())
    job = replace(context.job, options=Options(asr_audio="auto"))
    with pytest.raises(RuntimeError, match="the model fails"):
        Asr().run(replace(context, job=job))
    made = len(calls)
    release.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("ThreadPoolExecutor"):
            thread.join(PATIENCE)
    assert len(calls) == made


def test_a_rehearsal_takes_as_much_memory_and_time_as_the_job_will(context: StageContext, hear: Hear) -> None:
    write_record(context.inputs["regions"], Regions(REGIONS[:1], REGIONS[:1]))
    told: list[tuple[float, float]] = []
    rehearsing = replace(context, rehearsal=True, progress=lambda each: told.append((each.done, each.total)))
    reader = Reader(meeting=threading.Barrier(2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asr, "FasterWhisper", reader)
        Asr().run(rehearsing)
    assert reader.heard == [2.0, 2.0]
    assert told == [(0, 2), (1, 2), (2, 2)], "both count, or the job would seem to take twice as long"
    rehearsed = context.outputs["segments"].read_bytes()
    (context.scratch / "regions.jsonl").unlink()
    assert rehearsed == hear(Reader(at_once=1)).content
