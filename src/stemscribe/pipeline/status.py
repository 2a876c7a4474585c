"""How far a job has come, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stemscribe.errors import JobError, RecordError, StemscribeError
from stemscribe.jobs.folder import JobFolder
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import unreadable_record
from stemscribe.rows import read_head, read_rows
from stemscribe.speech.ledger import Entry, Ledger
from stemscribe.wording import percent

LEDGER = "ledger"


@dataclass(frozen=True)
class StageStatus:
    """One stage of a job; `seconds` is what its last try took."""

    name: str
    status: str
    seconds: float
    error: str
    artefacts: dict[str, str]


@dataclass(frozen=True)
class JobStatus:
    """One job; `state` is that of the stage that counts: the first that is not completed.

    `ledger` has the totals of a completed transcript and its gaps, and of the other entries none.
    """

    job: str
    state: str
    workflow: str
    media: str
    created_at: str
    stages: tuple[StageStatus, ...]
    ledger: Ledger | None = None


def status_of(folder: JobFolder) -> JobStatus:
    """The status of a job; one whose records cannot be read is `broken`, with the reason as its only stage's error.

    A stage that is recorded as running while nobody holds the job was killed.
    """
    try:
        job, manifest = folder.job, folder.manifest
        workflow = workflow_named(job.workflow)
    except StemscribeError as error:
        reason = StageStatus("records", "broken", 0.0, str(error), {})
        return JobStatus(folder.path.name, "broken", "?", "?", "", (reason,))
    running = folder.is_locked()
    stages = []
    for step in workflow.steps:
        record = manifest.stage(step.stage.name)
        status = "interrupted" if record.status == "running" and not running else record.status
        paths = {artefact.name: artefact.path for artefact in record.artefacts}
        stages.append(StageStatus(step.stage.name, status, record.seconds, record.error, paths))
    state = next((stage.status for stage in stages if stage.status != "completed"), "completed")
    if state == "pending" and stages[0].status == "completed":
        state = "running" if running else "interrupted"
    return JobStatus(job.id, state, job.workflow, Path(job.media).name, job.created_at, tuple(stages))


def detailed_status_of(folder: JobFolder) -> JobStatus:
    """The status of a job, with what its transcript accounts for; where that cannot be read, its stage says why."""
    status = status_of(folder)
    stages, ledger = list(status.stages), None
    for index, stage in enumerate(stages):
        if LEDGER in stage.artefacts:
            try:
                ledger = _with_its_gaps(folder.path / stage.artefacts[LEDGER])
            except RecordError as error:
                stages[index] = replace(stage, error=str(error))
    return replace(status, stages=tuple(stages), ledger=ledger)


def _with_its_gaps(path: Path) -> Ledger:
    """A ledger with nothing but its gaps; one that has not changed is not read again: pages ask twice a second."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable_record(path, error) from error
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int, size: int) -> Ledger:
    gaps = (entry for entry in read_rows(path, "entries", Entry) if entry.kind == "gap")
    return replace(read_head(path, Ledger), entries=tuple(gaps))


def check_coverage(path: Path, least: float) -> None:
    """Refuse a transcript that accounts for less of the voices than was asked for.

    Args:
        path: of its `ledger.json`.
        least: the share of the voiced seconds.

    Raises:
        JobError: it does; the message says how much is missing.
        RecordError: the ledger cannot be read.
    """
    ledger = read_head(path, Ledger)
    if ledger.coverage < least:
        raise JobError(
            f"The transcript accounts for {percent(ledger.coverage)} of the voices, and --min-coverage asks for"
            f" {percent(least)}: there {'is 1 gap' if ledger.gaps == 1 else f'are {ledger.gaps} gaps'} of"
            f" {ledger.gap_seconds:.1f} s in all.",
            hint=f"Everything is written. Listen to the gaps: they are in {path}, and `stemscribe status` shows them.",
        )
