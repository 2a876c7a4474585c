from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fakes import Array, noise
from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.jobs.job import Job
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.pipeline.stages.levels import CENTRE, NEEDED
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.stages.speech_detection import Regions, SpeechDetection
from stemscribe.records import read_record, write_record

RATE = 44100


@pytest.fixture
def job(tmp_path: Path, model: Callable[[str], Path]) -> StageContext:
    """A film of twelve seconds of noise, in which nobody speaks, neither in the mix nor in the vocals."""
    info = MixInfo(12 * RATE, RATE, 0.0, 0.1, 0.5, 1.0, 0, "", 0.0, 0, 0)
    stems = {"vocals": {"peak": 0.5, "gain": 1.0}}
    write_record(tmp_path / "mix_info", info)
    write_record(tmp_path / "separation", SeparationRecord("htdemucs", "", RATE, 12 * RATE, 1, 343980, 85995, stems))
    sound(tmp_path / "mix", noise(12 * RATE))
    sound(tmp_path / "vocals", noise(12 * RATE, level=1e-4))
    return StageContext(
        job=Job("job", "film.mkv", "", "transcribe", "en", "", ""),
        inputs={name: tmp_path / name for name in NEEDED},
        outputs={"regions": tmp_path / "regions.json"},
        models={"silero-vad": model("silero-vad")},
        environments=tmp_path,
        scratch=tmp_path,
        progress=lambda progress: None,
    )


def sound(path: Path, samples: Array) -> None:
    soundfile.write(path, samples.T, RATE, format="WAV", subtype="FLOAT")


def found(context: StageContext) -> Regions:
    SpeechDetection().run(context)
    return read_record(context.outputs["regions"], Regions)


@pytest.mark.models
def test_what_only_the_centre_tells_is_found(job: StageContext, tmp_path: Path) -> None:
    assert found(job) == Regions((), (), ())
    speech, rate = soundfile.read(Path(__file__).parents[2] / "media" / "jfk_1961.flac", dtype="float32")
    speech = soxr.resample(speech, rate, RATE)
    centre = np.zeros((1, 12 * RATE), np.float32)
    centre[0, : len(speech)] = speech * np.float32(0.125)
    sound(tmp_path / "centre", centre)
    info = read_record(job.inputs["mix_info"], MixInfo)
    write_record(job.inputs["mix_info"], replace(info, centre=CentreInfo(0.1, 0.9, 0.125)))
    told: list[Progress] = []
    listening = replace(job, inputs={**job.inputs, CENTRE: tmp_path / "centre"}, progress=told.append)
    heard = found(listening)
    assert sum(span.duration for span in heard.speech) > 5
    assert sum(voice.duration for voice in heard.voiced) > 5
    assert max(voice.speech for voice in heard.voiced) > 0.9
    assert [(told[-1].done, told[-1].total, told[-1].film)] == [pytest.approx((36, 36, 12))]
    assert [one.done for one in told] == sorted(one.done for one in told)
    write_record(job.inputs["mix_info"], replace(info, centre=CentreInfo(1e-5, 0.9, 0.125)))
    assert found(listening) == Regions((), (), ()), "a centre that is silent is not heard"


@pytest.mark.models
def test_a_rehearsal_leaves_nothing_untried(job: StageContext) -> None:
    heard = found(replace(job, rehearsal=True))
    assert [(region.start, region.end) for region in heard.regions] == [(0.0, 12.0)]
    assert [(voice.start, voice.end) for voice in heard.voiced] == [(0.0, 12.0)]
