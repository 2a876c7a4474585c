"""What is told of a job: how far it is, and what its transcript accounts for."""

from dataclasses import replace
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.errors import JobError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import StageRecord
from stemscribe.pipeline.status import check_coverage, detailed_status_of, status_of
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record
from stemscribe.speech.ledger import Doubtful, Entry, Ledger, totals

LEDGER = "04_export/ledger.json"


def ledger(gaps: int) -> Ledger:
    """Ten seconds of transcript, and gaps of a second each."""
    spoken = Entry(0, 10, "transcribed", "", "20 words", 0.9, 0.0)
    missing = [Entry(60.0 * n, 60.0 * n + 1, "gap", "", "nothing was heard", 0.9, 0.0) for n in range(1, gaps + 1)]
    doubtful = (Doubtful(5000.0, 5001.0, "Thanks."),)
    return replace(totals([spoken, *missing], doubtful), entries=(spoken, *missing), doubtful=doubtful)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A job that is completed, with two gaps."""
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    made = create(tmp_path / "out", Job("", str(film), identity(film), "transcribe", "en", "", ""))
    manifest = made.manifest
    for step in workflow_named("transcribe").steps:
        manifest = manifest.with_stage(step.stage.name, StageRecord("completed"))
    (made.path / LEDGER).parent.mkdir()
    write_record(made.path / LEDGER, ledger(2))
    kept = (made.record_of("ledger", made.path / LEDGER),)
    made.manifest = manifest.with_stage("export", StageRecord("completed", artefacts=kept))
    return made


def test_the_gaps_of_a_transcript_are_told_and_no_more_of_its_entries(folder: JobFolder) -> None:
    told = detailed_status_of(folder).ledger
    assert told is not None
    assert told == replace(ledger(2), entries=ledger(2).entries[1:], doubtful=())
    assert status_of(folder).ledger is None


def test_a_job_without_a_transcript_has_none(folder: JobFolder) -> None:
    folder.manifest = folder.manifest.with_stage("export", StageRecord("pending"))
    assert detailed_status_of(folder) == status_of(folder)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}"), lambda path: path.write_text("")])
def test_a_ledger_that_cannot_be_read_is_said_and_hides_nothing(folder: JobFolder, damage) -> None:  # type: ignore[no-untyped-def]
    damage(folder.path / LEDGER)
    told = detailed_status_of(folder)
    assert told.ledger is None
    assert "ledger.json" in told.stages[-1].error
    assert [stage.status for stage in told.stages] == ["completed"] * 5


def test_too_little_coverage_is_refused_with_the_figures(folder: JobFolder) -> None:
    path = folder.path / LEDGER
    check_coverage(path, 0.83)
    check_coverage(path, 10 / 12 - 1e-6)
    with pytest.raises(JobError) as refused:
        check_coverage(path, 0.9)
    assert refused.value.message == (
        "The transcript accounts for 83.3 % of the voices, and --min-coverage asks for 90.0 %:"
        " there are 2 gaps of 2.0 s in all."
    )
    assert str(path) in refused.value.hint
    assert refused.value.exit_code == 1
    write_record(path, ledger(1))
    with pytest.raises(JobError, match=r"there is 1 gap of 1\.0 s in all"):
        check_coverage(path, 1.0)
