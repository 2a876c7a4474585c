from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec import UNSET, UnsetType

from fakes import noise
from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.errors import MediaError
from stemscribe.jobs.job import Job
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.levels import CENTRE, NEEDED, Audible, is_centre_audible, open_at_film_level
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record


def a_job(tmp_path: Path, centre: CentreInfo | UnsetType) -> StageContext:
    write_record(tmp_path / "mix_info", MixInfo(1000, 44100, 0.0, 0.1, 1.2, 0.5, 0, "", 0.0, 0, 0, centre))
    stems = {"vocals": {"peak": 1.2, "gain": 0.8}, "accompaniment": {"peak": 1.0, "gain": 0.8}}
    write_record(tmp_path / "separation", SeparationRecord("htdemucs", "", 44100, 1000, 1, 343980, 85995, stems))
    names = NEEDED if isinstance(centre, UnsetType) else (*NEEDED, CENTRE)
    return StageContext(
        job=Job("job", "film.mkv", "", "transcribe", "en", "", ""),
        inputs={name: tmp_path / name for name in names},
        outputs={},
        models={},
        environments=tmp_path,
        scratch=tmp_path,
        progress=lambda progress: None,
    )


@pytest.mark.parametrize(("audio", "gain"), [("mix", 0.5), ("vocals", 0.8), ("centre", 0.125)])
def test_what_was_written_quieter_is_heard_as_loud_as_the_film(tmp_path: Path, audio: Audible, gain: float) -> None:
    sound = noise(1000)
    context = a_job(tmp_path, CentreInfo(0.1, 1.0, 0.125))
    soundfile.write(tmp_path / audio, sound.T * gain, 44100, format="WAV", subtype="FLOAT")
    with open_at_film_level(context, audio) as source:
        np.testing.assert_allclose(source.read(0, 1000), sound, atol=1e-7)


def test_a_film_without_a_centre_is_said_to_have_none(tmp_path: Path) -> None:
    context = a_job(tmp_path, UNSET)
    assert not is_centre_audible(context)
    with pytest.raises(MediaError, match=r"film\.mkv has no centre channel\."):
        open_at_film_level(context, "centre")


@pytest.mark.parametrize(("std", "audible"), [(0.0, False), (0.0009, False), (0.0011, True)])
def test_only_a_centre_with_something_in_it_is_worth_hearing(tmp_path: Path, std: float, audible: bool) -> None:
    assert is_centre_audible(a_job(tmp_path, CentreInfo(std, 1.0, 0.125))) == audible


def test_every_stage_that_listens_depends_on_the_levels() -> None:
    listening = {
        step.stage.name for step in workflow_named("transcribe").steps if set(NEEDED) <= set(step.stage.inputs)
    }
    assert listening == {"speech_detection", "asr"}
