"""What a stage is: a name, what it needs, what it makes, and how.

A stage knows its own work and nothing of the others: it is handed the paths of its inputs and temporary paths for its
outputs, and the runner does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from stemscribe.jobs.job import Job, Options
from stemscribe.timebase import Seconds

Loaded = AbstractContextManager[Any]
"""What a stage begins with, such as a model; leaving it lets go of it."""


@dataclass(frozen=True)
class Artefact:
    """A file that a stage makes.

    Attributes:
        name: by which later stages ask for it.
        file: its name in the stage's folder.
        headline: what to say when it is there; empty to say nothing.
        optional: whether there are films of which it is not made; a stage that reads it asks `inputs.get`.
    """

    name: str
    file: str
    headline: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        done: units of work that are done.
        total: of how many; 0 where that is not known.
        unit: what they are: `windows`, `regions` or `s` (seconds of the film).
        film: up to where on the mix everything is done.
    """

    done: float
    total: float
    unit: str
    film: Seconds


@dataclass(frozen=True)
class StageContext:
    """All that a stage may touch.

    Attributes:
        job: the request.
        inputs: by artefact name, the files that earlier stages made; those are missing that were not made of this film.
        outputs: by artefact name, temporary paths; the runner renames them when `run` returns.
        models: by model name, the folders they were fetched to.
        environments: the folder of virtual environments, for a stage that does not work in `core` alone.
        scratch: a folder that survives an interruption, and goes once the stage is completed.
        progress: told how far the work has come.
        rehearsal: whether this is only to find out if all of it works: then nothing may be left untried.
        ahead: where a companion keeps what it did of this stage's work before its time; `None` where none ever could.
        begun: what `load` of this stage is giving, if that was begun before its time; the stage lets go of it.
    """

    job: Job
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    models: Mapping[str, Path]
    environments: Path
    scratch: Path
    progress: Callable[[Progress], None]
    rehearsal: bool = False
    ahead: Path | None = None
    begun: Future[Loaded] | None = None

    @property
    def options(self) -> Options:
        return self.job.options


class Stage(Protocol):
    """One step of a workflow."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int:
        """Raised when the same inputs would give another result."""
        ...

    def packages(self, options: Options) -> Mapping[str, tuple[str, ...]]:
        """By environment, the installed packages on whose versions the result depends."""
        ...

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The names of the options on which the result depends."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """The constants on which the result depends: changed ones make it run again."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the artefacts it reads."""
        ...

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        """What it makes, given the options."""
        ...

    def models(self, options: Options) -> tuple[str, ...]:
        """The names of the models it needs, given the options."""
        ...

    def run(self, context: StageContext) -> None:
        """Do the work.

        Raises:
            StemscribeError: it cannot be done; what was committed to the scratch folder stays.
        """
        ...


@runtime_checkable
class LoadingStage(Stage, Protocol):
    """One that takes seconds to load what it begins with, and needs none of its inputs for that."""

    def load(self, options: Options, models: Mapping[str, Path], environments: Path) -> Loaded:
        """Load it, on whatever thread: the stage before this one may still be at work.

        Raises:
            StemscribeError: it cannot be loaded.
        """
        ...
