"""What a stage's result depends on, hashed: equal fingerprints, equal results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stemscribe.environments.installed import versions
from stemscribe.environments.profile import CORE
from stemscribe.jobs.job import Job
from stemscribe.pipeline.stage import Stage


def fingerprint(
    stage: Stage, job: Job, inputs: Mapping[str, str], models: Mapping[str, str], environments: Path
) -> str:
    """The fingerprint of a stage's result.

    Args:
        stage: what makes it.
        job: the request.
        inputs: by artefact name, the SHA-256 of what it reads; a stage without inputs depends on the film itself.
        models: by model name, the digest of its files.
        environments: the folder of virtual environments.
    """
    facts = {
        "stage": stage.name,
        "version": stage.version,
        "packages": {
            environment: _versions(environment, names, environments)
            for environment, names in stage.packages(job.options).items()
        },
        "options": {name: _option(job, name) for name in stage.depends_on},
        "parameters": dict(stage.parameters),
        "film": "" if stage.inputs else job.media_identity,
        "inputs": {name: inputs[name] for name in stage.inputs},
        "models": dict(models),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _option(job: Job, name: str) -> object:
    return job.source_language if name == "source_language" else getattr(job.options, name)


def _versions(environment: str, names: tuple[str, ...], environments: Path) -> dict[str, str]:
    if environment == CORE:  # where this runs
        return {name: _version(name) for name in names}
    return versions(environments / environment, names)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
