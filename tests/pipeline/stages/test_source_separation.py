import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.errors import StorageError
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.source_separation import SourceSeparation
from stemscribe.records import write_record

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Ten seconds of film before their separation; the model is not there, and not needed before the first window."""
    film = write_film(tmp_path / "film.wav", [(tone(10, rate=44100), "eng")], rate=44100)
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    write_record(tmp_path / "mix.json", info)
    scratch = tmp_path / "stage" / ".scratch" / "abc"
    scratch.mkdir(parents=True)
    outputs = {artefact.name: tmp_path / artefact.file for artefact in SourceSeparation().outputs(Options())}
    return StageContext(
        job=Job("job", str(film), "", "separate", "en", "", ""),
        inputs={"mix": tmp_path / "mix.flac", "mix_info": tmp_path / "mix.json"},
        outputs=outputs,
        models={"htdemucs": tmp_path / "nowhere"},
        environments=tmp_path / "venv",
        scratch=scratch,
        progress=lambda progress: None,
    )


@pytest.mark.parametrize(("options", "gigabytes"), [(Options(), 7.744e-3), (Options(stem_subtype="float"), 11.272e-3)])
def test_what_the_disk_cannot_hold_is_not_begun(
    context: StageContext, monkeypatch: pytest.MonkeyPatch, options: Options, gigabytes: float
) -> None:
    """Needed are the journal (the vocals as float, and a third more for its tails) and the two stems."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, gigabytes * 1e9 * 0.97))
    numbers = f"{gigabytes * 1e3:.1f} MB on the disk of .*stage, and {gigabytes * 970:.1f} MB are free"
    with pytest.raises(StorageError, match=rf"Separation needs {numbers}\."):
        SourceSeparation().run(replace(context, job=replace(context.job, options=options)))


def test_what_the_disk_can_hold_is_begun(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 7.744e-3 * 1e9 * 1.03))
    with pytest.raises(Exception, match=r"nowhere") as caught:  # the model is what is missing next
        SourceSeparation().run(context)
    assert not isinstance(caught.value, StorageError)
