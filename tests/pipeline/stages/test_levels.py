from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import noise
from stemscribe.audio.mix import MixInfo
from stemscribe.choices import AsrAudio
from stemscribe.jobs.job import Job
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.levels import NEEDED, open_at_film_level
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record


@pytest.mark.parametrize(("audio", "gain"), [("mix", 0.5), ("vocals", 0.8)])
def test_what_was_written_quieter_is_heard_as_loud_as_the_film(tmp_path: Path, audio: AsrAudio, gain: float) -> None:
    sound = noise(1000)
    write_record(tmp_path / "mix_info", MixInfo(1000, 44100, 0.0, 0.1, 1.2, 0.5, 0, "", 0.0, 0, 0))
    stems = {"vocals": {"peak": 1.2, "gain": 0.8}, "accompaniment": {"peak": 1.0, "gain": 0.8}}
    write_record(tmp_path / "separation", SeparationRecord("htdemucs", "", 44100, 1000, 1, 343980, 85995, stems))
    soundfile.write(tmp_path / audio, sound.T * gain, 44100, format="WAV", subtype="FLOAT")
    context = StageContext(
        job=Job("job", "", "", "transcribe", "en", "", ""),
        inputs={name: tmp_path / name for name in NEEDED},
        outputs={},
        models={},
        environments=tmp_path,
        scratch=tmp_path,
        progress=lambda progress: None,
    )
    with open_at_film_level(context, audio) as source:
        np.testing.assert_allclose(source.read(0, 1000), sound, atol=1e-7)


def test_every_stage_that_listens_depends_on_the_levels() -> None:
    listening = {
        step.stage.name for step in workflow_named("transcribe").steps if set(NEEDED) <= set(step.stage.inputs)
    }
    assert listening == {"speech_detection", "asr"}
