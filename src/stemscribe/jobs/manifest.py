"""What happened to a job: status, receipts, times and artefacts, stage by stage.

Only the runner writes it, and always as a whole. A receipt says what a result was made from, and by what, so that
anyone can check it later, or make it again. The seal tells whether the manifest is still as it was written: it guards
against a slip, an editor and a failing disk, not against somebody who means to deceive and makes a new one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import msgspec

from stemscribe.choices import Quality
from stemscribe.records import to_json

Status = Literal["pending", "running", "completed", "failed", "interrupted"]


@dataclass(frozen=True)
class ArtefactRecord:
    """A file that a stage made. `path` is relative to the job's folder, with forward slashes."""

    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Dependencies:
    """What a stage's result depends on: with all of it equal, the result is equal.

    Attributes:
        stage: its name.
        version: of the stage.
        packages: by environment, the versions of the packages that take part in the result.
        options: of the request, those that matter to the stage.
        parameters: the constants of the stage.
        film: what the film is recognised by, for a stage that reads it; else empty.
        inputs: by artefact name, the SHA-256 of what it reads.
        models: by model name, the digest of its files.
    """

    stage: str
    version: int
    packages: dict[str, dict[str, str]]
    options: dict[str, Any]
    parameters: dict[str, Any]
    film: str
    inputs: dict[str, str]
    models: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """All of it, hashed: 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Machine:
    """What computed: no name of it or of its user, since job folders are handed on."""

    system: str
    processor: str
    cores: int
    python: str


@dataclass(frozen=True)
class Receipt:
    """How a result came about.

    Attributes:
        dependencies: what it was made from.
        stemscribe: the version that made it.
        environments: by name, the digest of everything that was installed there.
        machine: what computed.
        origin: the job that made it, where this one took it over; else empty.
    """

    dependencies: Dependencies
    stemscribe: str
    environments: dict[str, str]
    machine: Machine
    origin: str = ""


@dataclass(frozen=True)
class StageRecord:
    """How a stage went, the last time it was tried.

    Attributes:
        fingerprint: of what its result depends on.
        attempts: how often it was started.
        started_at: UTC, ISO 8601; `finished_at` too.
        seconds: what the last try took.
        error: why it failed.
        receipt: of a completed stage; `None` where the manifest had none yet, or was changed by somebody else since.
    """

    status: Status
    fingerprint: str = ""
    attempts: int = 0
    started_at: str = ""
    finished_at: str = ""
    seconds: float = 0.0
    artefacts: tuple[ArtefactRecord, ...] = ()
    error: str = ""
    receipt: Receipt | None = None


@dataclass(frozen=True)
class Manifest:
    """All stages of a job that were ever started, by name.

    Attributes:
        engine: what separates, once that was decided: a job that left it open goes on as it began.
        quality: how much its windows overlap, once that was decided; unset, and not written, where the job had said it.
        version: of this form; the first had neither receipts nor a seal.
        seal: hash of everything else.
    """

    job: str
    stages: dict[str, StageRecord] = field(default_factory=dict)
    engine: str = ""
    quality: Quality | msgspec.UnsetType = msgspec.UNSET
    version: int = 2
    seal: str = ""

    def stage(self, name: str) -> StageRecord:
        """The record of a stage; one that was never started is pending."""
        return self.stages.get(name, StageRecord("pending"))

    def with_stage(self, name: str, record: StageRecord) -> Manifest:
        return replace(self, stages={**self.stages, name: record})

    def without_receipts(self) -> Manifest:
        """The same, proving nothing any more."""
        return replace(self, stages={name: replace(record, receipt=None) for name, record in self.stages.items()})

    def sealed(self) -> Manifest:
        """The same in its newest form, with its seal."""
        bare = replace(self, version=Manifest.version, seal="")
        return replace(bare, seal=hashlib.sha256(to_json(bare)).hexdigest())

    def is_as_written(self, content: bytes) -> bool:
        """Whether a file with this content is this manifest as it was sealed, to the byte."""
        return self.version < Manifest.version or content == to_json(self.sealed())
