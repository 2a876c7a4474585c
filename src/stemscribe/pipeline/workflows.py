"""Workflows: ordered stages, checked when they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import msgspec

from stemscribe.errors import UsageError
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Stage
from stemscribe.pipeline.stages import stage_named
from stemscribe.toml import parse_toml


@dataclass(frozen=True)
class Step:
    """A stage, and the folder of the job in which it keeps its artefacts."""

    stage: Stage
    folder: str


@dataclass(frozen=True)
class Workflow:
    """Stages in order.

    Raises:
        ValueError: a stage needs what none before it makes, or two stages share a folder.
    """

    name: str
    description: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        made: set[str] = set()
        for step in self.steps:
            if missing := set(step.stage.inputs) - made:
                raise ValueError(f"{self.name}: nothing before {step.stage.name} makes {', '.join(sorted(missing))}")
            made |= {artefact.name for artefact in step.stage.outputs(Options())}
        if len({step.folder for step in self.steps}) < len(self.steps):
            raise ValueError(f"{self.name}: two stages share a folder")

    @property
    def needs_engine(self) -> bool:
        """Whether something in it is computed by an engine that has to be decided on."""
        return any("engine" in step.stage.depends_on for step in self.steps)

    @property
    def goes_back_to_the_film(self) -> bool:
        """Whether a stage reads the film itself, as well as what was made of it."""
        return any("media_identity" in step.stage.depends_on for step in self.steps)

    def makes(self, name: str) -> bool:
        """Whether an artefact of that name comes of it, if only of some films."""
        return any(artefact.name == name for step in self.steps for artefact in step.stage.outputs(Options()))

    def optional(self, options: Options) -> frozenset[str]:
        """The names of the artefacts that are not made of every film."""
        outputs = (artefact for step in self.steps for artefact in step.stage.outputs(options))
        return frozenset(artefact.name for artefact in outputs if artefact.optional)

    def stage(self, name: str) -> Stage:
        """One of the stages by its name."""
        return next(step.stage for step in self.steps if step.stage.name == name)


def workflow_names() -> tuple[str, ...]:
    return tuple(_document())


def workflow_named(name: str) -> Workflow:
    """A workflow by its name.

    Raises:
        UsageError: there is none of that name.
    """
    document = _document()
    if name not in document:
        raise UsageError(f"There is no workflow {name!r}.", hint=f"Choose one of: {', '.join(workflow_names())}.")
    entry = document[name]
    return Workflow(name, entry.description, tuple(Step(stage_named(step.name), step.folder) for step in entry.stages))


class _StepEntry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    folder: str


class _WorkflowEntry(msgspec.Struct, forbid_unknown_fields=True):
    description: str
    stages: tuple[_StepEntry, ...]


def _document() -> dict[str, _WorkflowEntry]:
    content = parse_toml(files(__package__).joinpath("workflows.toml").read_text(encoding="utf-8"))
    return msgspec.convert(content, dict[str, _WorkflowEntry])
