"""What a stage begins with is loaded while the stage before it works: a model of 190 MB takes seconds on one core."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Loaded, LoadingStage


class Loading:
    """What is being loaded for stages to come; leaving it lets go of what no stage has taken."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "loading")
        self._begun: dict[str, Future[Loaded]] = {}

    def begin(self, stage: LoadingStage, options: Options, models: Mapping[str, Path], environments: Path) -> None:
        """Have a stage load what it begins with; if that cannot be loaded, whoever waits for it is told."""
        self._begun[stage.name] = self._pool.submit(stage.load, options, models, environments)

    def take(self, stage: str) -> Future[Loaded] | None:
        """What was begun for a stage, which then has to let go of it; `None` if nothing was."""
        return self._begun.pop(stage, None)

    def let_go(self, stage: str) -> None:
        """What was begun for a stage is not needed: it goes as soon as it is there, and nobody waits for that."""
        if (future := self.take(stage)) is not None and not future.cancel():
            future.add_done_callback(_left)

    def __enter__(self) -> Loading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stage in list(self._begun):
            self.let_go(stage)
        self._pool.shutdown(wait=False)


def _left(future: Future[Loaded]) -> None:
    if future.exception() is None:
        with future.result():
            pass
