"""What a request leaves open, decided once for a job: it goes on as it began, whatever changes around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from stemscribe.choices import Quality
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job
from stemscribe.models.spec import Catalog
from stemscribe.pipeline.engines import choose_engine
from stemscribe.pipeline.receipt import dependencies
from stemscribe.pipeline.reuse import are_there, results_of_others
from stemscribe.pipeline.workflows import Workflow
from stemscribe.separation.stream import OVERLAPS

SEPARATION = "source_separation"


@dataclass(frozen=True)
class Decided:
    """A job as its stages see it, with the engine that separates, and how much its windows overlap.

    Attributes:
        why: the reason for that engine, as the end of a sentence; empty where none is needed.
    """

    job: Job
    why: str = ""


def decided(
    folder: JobFolder, job: Job, workflow: Workflow, catalog: Catalog, environments: Path, *, reuse: bool = True
) -> Decided:
    """What becomes of a request on this machine. Nothing is written.

    Args:
        folder: of the job; its manifest knows what was decided when it began.
        job: the request.
        workflow: the request's.
        catalog: the models that there are.
        environments: the folder of virtual environments.
        reuse: whether what other jobs have made may be taken.

    Raises:
        UsageError: there is no such model, or the engine, device or stems do not go together.
    """
    if not workflow.needs_engine:
        return Decided(job)
    choice = choose_engine(job.options, catalog, environments, folder.manifest.engine)
    found = Decided(replace(job, options=choice.options), choice.why)
    if choice.options.quality != "auto":
        return found
    quality = folder.manifest.quality
    if quality is msgspec.UNSET:
        quality = _quality(folder, found.job, workflow, catalog, environments, reuse=reuse)
    return replace(found, job=_in_quality(found.job, quality))


def _quality(
    folder: JobFolder, job: Job, workflow: Workflow, catalog: Catalog, environments: Path, *, reuse: bool
) -> Quality:
    """That of stems that are there already; else Demucs' own where stems are asked for, and what recognition needs
    where they are not.
    """
    for quality in OVERLAPS:
        if reuse and _is_separated(folder, _in_quality(job, quality), workflow, catalog, environments):
            return quality
    stems_are_wanted = not workflow.makes("transcript") or job.options.stems != "two"
    return "exact" if stems_are_wanted else "fast"


def _in_quality(job: Job, quality: Quality) -> Job:
    return replace(job, options=replace(job.options, quality=quality))


def _is_separated(folder: JobFolder, job: Job, workflow: Workflow, catalog: Catalog, environments: Path) -> bool:
    """Whether all that this job would do up to its stems can be taken from jobs beside it."""
    made: dict[str, str] = {}
    for stage in (step.stage for step in workflow.steps):
        models = {name: catalog[name].digest for name in stage.models(job.options)}
        wanted = dependencies(stage, job, made, models, environments).fingerprint
        found = results_of_others(folder, stage.name, wanted)
        record = next((record for other, record in found if are_there(other, record)), None)
        if record is None:
            return False
        if stage.name == SEPARATION:
            return True
        made |= {artefact.name: artefact.sha256 for artefact in record.artefacts}
    return False
