"""What the rehearsal's process takes down of how fast the work goes."""

from __future__ import annotations

import pytest

from stemscribe.pipeline import worker
from stemscribe.pipeline.reporter import StageProgressed, StageStarted
from stemscribe.pipeline.stage import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    return now


def goes_on(watch: worker._Watch, clock: list[float], unit: str, counts: list[float], seconds: float) -> None:
    """Tell of a stage that counts so, and needs so long from one count to the next, and after the last."""
    for done in counts:
        watch(StageProgressed("source_separation", Progress(done, counts[-1], unit, done)))
        clock[0] += seconds


def test_the_pace_of_windows_does_not_count_the_look_before_them(clock: list[float]) -> None:
    watch = worker._Watch(answer := worker.Answer())
    watch(StageStarted("source_separation", 1, 5))
    goes_on(watch, clock, "s", [0.0, 3.0, 6.0, 9.0], 2.0)
    clock[0] += 50.0  # the model is loaded
    goes_on(watch, clock, "windows", [0, 1, 2, 3], 4.0)
    assert answer.pace["windows"] == pytest.approx(4.0)
    assert answer.pace["s"] == pytest.approx(2 / 3)


def test_windows_of_a_resumed_stage_are_counted_from_where_it_goes_on(clock: list[float]) -> None:
    watch = worker._Watch(answer := worker.Answer())
    watch(StageStarted("source_separation", 1, 5))
    goes_on(watch, clock, "windows", [7, 8, 9], 4.0)
    assert answer.pace == {"windows": 4.0}


def test_one_count_alone_tells_no_pace(clock: list[float]) -> None:
    watch = worker._Watch(answer := worker.Answer())
    watch(StageStarted("source_separation", 1, 5))
    goes_on(watch, clock, "s", [0.0], 2.0)
    goes_on(watch, clock, "windows", [0], 4.0)
    assert answer.pace == {}
