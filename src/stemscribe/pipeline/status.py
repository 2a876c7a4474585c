"""How far a job has come, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stemscribe.errors import StemscribeError
from stemscribe.jobs.folder import JobFolder
from stemscribe.pipeline.workflows import workflow_named


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
    """One job; `state` is that of the stage that counts: the first that is not completed."""

    job: str
    state: str
    workflow: str
    media: str
    created_at: str
    stages: tuple[StageStatus, ...]


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
