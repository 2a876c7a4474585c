"""What the runner tells while it works: plain events, for a terminal, a log or a program to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stemscribe.pipeline.stage import Progress
from stemscribe.timebase import Seconds


@dataclass(frozen=True)
class JobStarted:
    job: str
    folder: str


@dataclass(frozen=True)
class Rehearsed:
    """What the job will need: `film` and `seconds` are 0 where the film's length is not known."""

    job: str
    film: Seconds
    seconds: Seconds
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class StageStarted:
    stage: str
    position: int
    stages: int


@dataclass(frozen=True)
class StageProgressed:
    stage: str
    progress: Progress


@dataclass(frozen=True)
class StageSkipped:
    """`made_by` is the other job whose result was taken over; empty for this one's own."""

    stage: str
    made_by: str = ""


@dataclass(frozen=True)
class StageCompleted:
    """`artefacts` are paths by name."""

    stage: str
    seconds: Seconds
    artefacts: dict[str, str]


@dataclass(frozen=True)
class StageFailed:
    stage: str
    message: str
    hint: str


@dataclass(frozen=True)
class StageInterrupted:
    stage: str


@dataclass(frozen=True)
class JobCompleted:
    job: str
    seconds: Seconds


@dataclass(frozen=True)
class JobFailed:
    job: str
    message: str
    hint: str


Event = (
    JobStarted
    | Rehearsed
    | StageStarted
    | StageProgressed
    | StageSkipped
    | StageCompleted
    | StageFailed
    | StageInterrupted
    | JobCompleted
    | JobFailed
)
Reporter = Callable[[Event], None]
