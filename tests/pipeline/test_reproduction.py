"""A job made again is compared, file by file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import noise, tone, write_film
from stemscribe.errors import JobError, MediaError
from stemscribe.jobs.folder import JobFolder
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import reproduction, runner
from stemscribe.pipeline.reproduction import Compared, reproduce

from .conftest import NOWHERE, UNREHEARSED, Sums


@pytest.fixture(autouse=True)
def unrehearsed(monkeypatch: pytest.MonkeyPatch, stages: list[Sums]) -> None:
    monkeypatch.setattr(reproduction, "workflow_named", runner.workflow_named)
    monkeypatch.setattr(runner._Run, "_rehearse_first", lambda self: None)


@pytest.fixture
def done(stages: list[Sums], folder: JobFolder, models: ModelStore) -> JobFolder:
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    return folder


def again(folder: JobFolder, models: ModelStore, into: Path, film: Path | None = None) -> list[Compared]:
    return reproduce(folder, film or Path(folder.job.media), into, models, NOWHERE, runner.Rules())


PATHS = ["one_folder/one.txt", "two_folder/two.txt", "three_folder/three.txt"]


def test_an_honest_job_comes_out_the_same(
    done: JobFolder, stages: list[Sums], models: ModelStore, tmp_path: Path
) -> None:
    assert again(done, models, tmp_path / "again") == [Compared(path, True) for path in PATHS]
    assert [stage.runs for stage in stages] == [2, 2, 2]
    assert (tmp_path / "again" / done.path.name / "job.json").is_file()


def test_nothing_is_taken_over_from_beside_it(
    done: JobFolder, stages: list[Sums], models: ModelStore, tmp_path: Path
) -> None:
    shutil.copytree(done.path, tmp_path / "again" / "job-20200101-0001")
    again(done, models, tmp_path / "again")
    assert [stage.runs for stage in stages] == [2, 2, 2]


def test_the_film_may_have_moved_and_must_be_the_same(done: JobFolder, models: ModelStore, tmp_path: Path) -> None:
    moved = Path(done.job.media).rename(tmp_path / "moved.wav")
    assert all(result.same for result in again(done, models, tmp_path / "again", moved))
    other = write_film(tmp_path / "other.wav", [(tone(2), "eng")])
    with pytest.raises(MediaError, match="its content has changed"):
        again(done, models, tmp_path / "more", other)


def test_what_comes_out_differently_is_told(
    done: JobFolder, stages: list[Sums], models: ModelStore, tmp_path: Path
) -> None:
    stages[1].adds = 20
    assert again(done, models, tmp_path / "again") == [
        Compared(PATHS[0], True),
        Compared(PATHS[1], False, "differs"),
        Compared(PATHS[2], False, "differs"),
    ]


def test_a_reproduction_goes_on_where_it_was_stopped(
    done: JobFolder, stages: list[Sums], models: ModelStore, tmp_path: Path
) -> None:
    stages[2].before = lambda context: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        again(done, models, tmp_path / "again")
    stages[2].before = lambda context: None
    assert all(result.same for result in again(done, models, tmp_path / "again"))
    assert [stage.runs for stage in stages] == [2, 2, 3]


def test_there_must_be_something_to_compare_with(folder: JobFolder, models: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"is not completed \(one, two, three\)"):
        again(folder, models, tmp_path / "again")


def test_another_job_is_left_alone(done: JobFolder, models: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is the job itself"):
        again(done, models, done.path.parent)
    other = tmp_path / "again" / done.path.name
    other.mkdir(parents=True)
    shutil.copy(done.path / "job.json", other)
    (other / "job.json").write_text((other / "job.json").read_text().replace('"en"', '"hi"'))
    with pytest.raises(JobError, match="is another job"):
        again(done, models, tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda sound: sound * np.float32(0.999), "differs by 60.0 dB SNR"),
        (lambda sound: sound[:, :-1], "has 999 frames instead of 1000"),
        (lambda sound: sound, "is the same sound in another file"),
    ],
)
def test_of_sound_it_is_told_how_loud_the_difference_is(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    sound = noise(1000)
    soundfile.write(tmp_path / "before.wav", sound.T, 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "after.wav", change(sound).T, 44100, subtype="FLOAT")
    assert reproduction._difference(tmp_path / "before.wav", tmp_path / "after.wav") == told
