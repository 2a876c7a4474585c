"""What a request leaves open, decided once for a job: it goes on as it began, whatever changes around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from stemscribe.choices import Quality
from stemscribe.errors import RecordError
from stemscribe.jobs.folder import JobFolder, all_jobs
from stemscribe.jobs.job import Job, Options
from stemscribe.models.spec import Catalog
from stemscribe.pipeline.engines import choose_engine
from stemscribe.pipeline.workflows import Workflow

SEPARATION = "source_separation"


@dataclass(frozen=True)
class Decided:
    """A job as its stages see it, with the engine that separates, and how much its windows overlap.

    Attributes:
        why: the reason for that engine, as the end of a sentence; empty where none is needed.
    """

    job: Job
    why: str = ""


def decided(folder: JobFolder, job: Job, workflow: Workflow, catalog: Catalog, environments: Path) -> Decided:
    """What becomes of a request on this machine. Nothing is written.

    Args:
        folder: of the job; its manifest knows what was decided when it began.
        job: the request.
        workflow: the request's.
        catalog: the models that there are.
        environments: the folder of virtual environments.

    Raises:
        UsageError: there is no such model, or the engine, device or stems do not go together.
    """
    if not workflow.needs_engine:
        return Decided(job)
    choice = choose_engine(job.options, catalog, environments, folder.manifest.engine)
    options = choice.options
    if options.quality == "auto":
        options = replace(options, quality=_quality(folder, job, options, workflow))
    return Decided(replace(job, options=options), choice.why)


def _quality(folder: JobFolder, job: Job, options: Options, workflow: Workflow) -> Quality:
    """That of stems that are there already; else Demucs' own where stems are asked for, and what recognition needs
    where they are not.
    """
    if (begun_with := folder.manifest.quality) is not msgspec.UNSET:
        return begun_with
    there = set(_separated_by_others(folder, job, options))
    stems_are_wanted = not workflow.makes("transcript") or options.stems != "two"
    if "exact" in there or (stems_are_wanted and "balanced" not in there):
        return "exact"
    return "balanced"


def _separated_by_others(folder: JobFolder, job: Job, options: Options) -> Iterator[str]:
    """In which qualities jobs beside this one have separated the same film, with everything else as asked here."""
    for other in all_jobs(folder.path.parent):
        with suppress(RecordError, msgspec.ValidationError):  # another job's broken record is nothing to us
            receipt = other.manifest.stage(SEPARATION).receipt
            if receipt is None or not _is_same_sound(other.job, job):
                continue
            asked = receipt.dependencies.options
            if all(asked[name] == getattr(options, name, None) for name in asked if name != "quality"):
                yield str(asked.get("quality"))


def _is_same_sound(one: Job, other: Job) -> bool:
    def sound(job: Job) -> tuple[object, ...]:
        return (job.media_identity, job.options.audio_track, job.options.start_time, job.options.end_time)

    return sound(one) == sound(other)
