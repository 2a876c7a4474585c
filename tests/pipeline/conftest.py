"""Stages that are plain arithmetic, and a job of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job, Options
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.workflows import Step, Workflow

NOWHERE = Path("nowhere")  # these stages need no environment
UNREHEARSED = runner.Rules(rehearse=False)


@dataclass
class Sums:
    """Adds a number to what it reads; keeps count of its runs, and can be told to fail."""

    name: str
    inputs: tuple[str, ...] = ()
    adds: int = 1
    version: int = 1
    depends_on: tuple[str, ...] = ()
    parameters: dict[str, object] = field(default_factory=dict)
    built_with: dict[str, tuple[str, ...]] = field(default_factory=dict)
    runs: int = 0
    before: Callable[[StageContext], None] = field(default=lambda context: None)

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact(self.name, f"{self.name}.txt", f"{self.name.capitalize()} added"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return self.built_with

    def run(self, context: StageContext) -> None:
        self.runs += 1
        total = self.adds + sum(int(path.read_text()) for path in context.inputs.values())
        context.outputs[self.name].write_text(str(total))
        context.progress(Progress(1, 1, "windows", 1.0))
        self.before(context)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Sums]:
    made = [Sums("one"), Sums("two", ("one",), adds=10), Sums("three", ("one", "two"), adds=100)]
    workflow = Workflow("sums", "", tuple(Step(stage, f"{stage.name}_folder") for stage in made))
    monkeypatch.setattr(runner, "workflow_named", lambda name: workflow)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    return create(tmp_path / "out", Job("", str(film), identity(film), "sums", "en", "", ""))


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", {})
