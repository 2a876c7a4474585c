"""What a stage begins with is loaded while the one before it works, and nobody forgets to let go of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from stemscribe.errors import ModelError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Options
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.stage import LoadingStage, StageContext

from .conftest import NOWHERE, UNREHEARSED, Sums

SECONDS = 20  # until a test that waits for a thread gives up


class Loads(Sums):
    """A stage that begins with a sheet of paper."""

    def prepare(self, error: Exception | None = None) -> None:
        self.error, self.begun, self.opened, self.closed = error, threading.Event(), 0, threading.Event()

    def load(self, options: Options, models: Mapping[str, Path], environments: Path) -> AbstractContextManager[str]:
        self.begun.set()
        if self.error is not None:
            raise self.error
        self.opened += 1
        return self.paper()

    @contextmanager
    def paper(self) -> Iterator[str]:
        try:
            yield "paper"
        finally:
            self.closed.set()


def uses_it(context: StageContext) -> None:
    assert context.begun is not None
    with context.begun.result() as paper:
        assert paper == "paper"


@pytest.fixture
def loads(stages: list[Sums]) -> Loads:
    """The second stage, which waits for nothing but is loaded before its turn."""
    second = stages[1]
    second.__class__ = Loads
    assert isinstance(second, Loads)
    second.prepare()
    second.before = uses_it
    assert isinstance(second, LoadingStage)
    assert not isinstance(stages[0], LoadingStage)
    return second


def run(folder: JobFolder, models: ModelStore) -> None:
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)


def test_it_is_loaded_while_the_stage_before_works(
    stages: list[Sums], loads: Loads, folder: JobFolder, models: ModelStore
) -> None:
    def wait(context: StageContext) -> None:
        assert context.begun is None
        assert loads.begun.wait(SECONDS)
        assert loads.runs == 0

    stages[0].before = wait
    run(folder, models)
    assert (loads.opened, loads.closed.is_set(), loads.runs) == (1, True, 1)
    assert (folder.path / "three_folder" / "three.txt").read_text() == "112"


def test_it_is_not_loaded_for_a_stage_that_is_completed(
    stages: list[Sums], loads: Loads, folder: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    (folder.path / "one_folder" / "one.txt").unlink()
    run(folder, models)
    assert [stage.runs for stage in stages] == [2, 1, 1]
    assert loads.opened == 1


def test_it_is_let_go_of_when_the_stage_before_fails(
    stages: list[Sums], loads: Loads, folder: JobFolder, models: ModelStore
) -> None:
    def fail(context: StageContext) -> None:
        assert loads.begun.wait(SECONDS)
        raise ModelError("no such luck", hint="None.")

    stages[0].before = fail
    with pytest.raises(ModelError, match="no such luck"):
        run(folder, models)
    assert loads.closed.wait(SECONDS)
    assert loads.runs == 0


def test_it_is_let_go_of_when_another_job_has_made_the_same(
    stages: list[Sums], loads: Loads, folder: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    loads.closed.clear()
    another = create(folder.path.parent, folder.job)
    stages[0].version = 2  # is made anew, and comes out the same
    gone: list[bool] = []
    stages[2].version, stages[2].before = 2, lambda context: gone.append(loads.closed.wait(SECONDS))
    run(another, models)
    assert [stage.runs for stage in stages] == [2, 1, 2]
    assert gone == [True], "a model would stay in memory for the rest of the job"


def test_that_it_cannot_be_loaded_is_said_by_its_stage(
    stages: list[Sums], loads: Loads, folder: JobFolder, models: ModelStore
) -> None:
    loads.error = ModelError("The paper is wet.", hint="Dry it.")
    with pytest.raises(ModelError, match=r"The paper is wet\."):
        run(folder, models)
    assert [folder.manifest.stage(name).status for name in ("one", "two")] == ["completed", "failed"]
