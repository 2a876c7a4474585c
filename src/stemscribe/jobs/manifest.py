"""What happened to a job: status, fingerprints, times and artefacts, stage by stage.

Only the runner writes it, and always as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Status = Literal["pending", "running", "completed", "failed", "interrupted"]


@dataclass(frozen=True)
class ArtefactRecord:
    """A file that a stage made. `path` is relative to the job's folder, with forward slashes."""

    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class StageRecord:
    """How a stage went, the last time it was tried. Times are UTC, ISO 8601; `seconds` is what the last try took."""

    status: Status
    fingerprint: str = ""
    attempts: int = 0
    started_at: str = ""
    finished_at: str = ""
    seconds: float = 0.0
    artefacts: tuple[ArtefactRecord, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Manifest:
    """All stages of a job that were ever started, by name.

    Attributes:
        engine: what separates, once that was decided: a job that left it open goes on as it began.
    """

    job: str
    stages: dict[str, StageRecord] = field(default_factory=dict)
    engine: str = ""
    version: int = 1

    def stage(self, name: str) -> StageRecord:
        """The record of a stage; one that was never started is pending."""
        return self.stages.get(name, StageRecord("pending"))

    def with_stage(self, name: str, record: StageRecord) -> Manifest:
        return replace(self, stages={**self.stages, name: record})
