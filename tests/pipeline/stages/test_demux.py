from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import tone, write_film
from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.audio.probe import identity
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.demux import Demux
from stemscribe.records import read_record

WHOLE_FILM = Options()


def demuxed(tmp_path: Path, film: Path, options: Options = WHOLE_FILM) -> dict[str, Path]:
    """What the stage makes of a film."""
    outputs = {artefact.name: tmp_path / artefact.file for artefact in Demux().outputs(options)}
    job = Job("job", str(film), identity(film), "transcribe", "en", "", "", options)
    Demux().run(StageContext(job, {}, outputs, {}, tmp_path, tmp_path, lambda progress: None))
    return {name: path for name, path in outputs.items() if path.exists()}


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2)])
def test_most_films_have_no_centre_channel(tmp_path: Path, layout: str, channels: int) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(2, channels=channels), "eng")], layout=layout)
    made = demuxed(tmp_path, film)
    assert sorted(made) == ["mix", "mix_info"]
    assert "centre" not in made["mix_info"].read_text()


def test_a_film_with_a_centre_channel_leaves_it_beside_the_mix(tmp_path: Path) -> None:
    sound = np.zeros((6, 4 * 48000), np.float32)
    sound[2] = tone(4, channels=1)[0]
    film = write_film(tmp_path / "film.mkv", [(sound, "eng")], layout="5.1", codec="flac")
    made = demuxed(tmp_path, film, Options(start_time=1.0, end_time=3.0))
    info = read_record(made["mix_info"], MixInfo)
    assert isinstance(info.centre, CentreInfo)
    assert sorted(made) == ["centre", "mix", "mix_info"]
    centre = soundfile.info(made["centre"])
    assert (centre.frames, centre.channels, centre.samplerate, centre.subtype) == (info.frames, 1, 44100, "PCM_24")


def test_the_centre_is_that_of_the_chosen_track(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(2), "eng"), (tone(2), "hin")])
    assert "centre" not in demuxed(tmp_path, film, Options(audio_track="1"))
    assert not next(artefact for artefact in Demux().outputs(Options()) if artefact.name == "mix").optional
