"""What a stage's result depends on, and the receipt that says how it came about."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stemscribe import __version__
from stemscribe.environments.installed import digest, versions
from stemscribe.environments.profile import CORE
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import Dependencies, Machine, Receipt
from stemscribe.pipeline.stage import Stage


def dependencies(
    stage: Stage, job: Job, inputs: Mapping[str, str], models: Mapping[str, str], environments: Path
) -> Dependencies:
    """What a stage's result depends on.

    Args:
        stage: what makes it.
        job: the request.
        inputs: by artefact name, the SHA-256 of what it reads, without what was not made of this film; a stage without
            inputs depends on the film itself.
        models: by model name, the digest of its files.
        environments: the folder of virtual environments.
    """
    return Dependencies(
        stage=stage.name,
        version=stage.version,
        packages={
            environment: _versions(environment, names, environments)
            for environment, names in stage.packages(job.options).items()
        },
        options={name: option(job, name) for name in stage.depends_on},
        parameters=dict(stage.parameters),
        film="" if stage.inputs else job.media_identity,
        inputs={name: inputs[name] for name in stage.inputs if name in inputs},
        models=dict(models),
    )


def reads_film(stage: Stage) -> bool:
    """Whether a stage reads the film itself, and not only what others have made of it."""
    return not stage.inputs or "media_identity" in stage.depends_on


def receipt(depended: Dependencies, environments: Path) -> Receipt:
    """The receipt of what is made here and now.

    Args:
        depended: what the result depends on.
        environments: the folder of virtual environments.
    """
    folders = {name: Path(sys.prefix) if name == CORE else environments / name for name in depended.packages}
    return Receipt(
        dependencies=depended,
        stemscribe=__version__,
        environments={name: digest(folder) for name, folder in folders.items()},
        machine=this_machine(),
    )


def option(job: Job, name: str) -> object:
    """Something that was asked for, by the name by which stages ask for it."""
    if name == "media_name":
        return Path(job.media).name
    if name == "media_identity":
        return job.media_identity
    if name == "audio_track":  # a job may leave it to the language that is spoken
        return job.options.audio_track or f"the one in {job.source_language}"
    return job.source_language if name == "source_language" else getattr(job.options, name)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """What computes here."""
    return Machine(
        system=platform.platform(terse=True) + f" {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
    )


def _processor() -> str:
    """The processor's name; on Linux the standard library does not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _versions(environment: str, names: tuple[str, ...], environments: Path) -> dict[str, str]:
    if environment == CORE:  # where this runs
        return {name: _version(name) for name in names}
    return versions(environments / environment, names)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
