"""Clocks around functions: what counts for what."""

from __future__ import annotations

import threading
import time
from importlib import import_module

import pytest
from benchmarks.profile import LOADING, MODEL, TIMED, Clock, covered, watched

A_WHILE, TOLERANCE = 0.05, 0.03  # seconds; a busy machine sleeps longer than it was told


def asleep() -> None:
    time.sleep(A_WHILE)


def test_the_model_counts_for_itself_and_the_rest_for_what_is_around_it() -> None:
    clock = Clock()
    model, inner = clock.timed(asleep, MODEL), clock.timed(asleep, "inner")

    def work() -> None:
        model()
        inner()
        asleep()

    clock.timed(work, "outer")()
    assert clock.seconds["outer"] == pytest.approx(2 * A_WHILE, abs=TOLERANCE)
    assert clock.seconds[MODEL] == pytest.approx(A_WHILE, abs=TOLERANCE)
    assert "inner" not in clock.seconds


def test_two_after_each_other_add_up() -> None:
    clock = Clock()
    for _ in range(2):
        clock.timed(asleep, "part")()
    assert clock.seconds["part"] == pytest.approx(2 * A_WHILE, abs=TOLERANCE)


def test_a_model_on_two_threads_at_once_takes_its_time_once() -> None:
    clock = Clock()
    threads = [threading.Thread(target=clock.timed(asleep, MODEL)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.model_seconds == pytest.approx(A_WHILE, abs=TOLERANCE)
    assert clock.seconds[MODEL] == pytest.approx(2 * A_WHILE, abs=TOLERANCE)


def test_a_failure_is_passed_on_and_its_time_counts() -> None:
    def fail() -> None:
        asleep()
        raise ValueError("out of tune")

    clock = Clock()
    with pytest.raises(ValueError, match="out of tune"):
        clock.timed(fail, "part")()
    assert clock.seconds["part"] >= A_WHILE - TOLERANCE


def test_spans_that_overlap_are_counted_once() -> None:
    assert covered([]) == 0
    assert covered([(3, 4), (0, 2), (1, 2.5), (1, 1.5)]) == 3.5


def test_everything_that_is_measured_is_there_and_is_put_back() -> None:
    from stemscribe.jobs import folder

    before = folder.sha256_of
    with watched(Clock()):
        assert folder.sha256_of is not before
    assert folder.sha256_of is before
    assert {part for _, part in TIMED} >= {MODEL, LOADING}
    assert all(import_module(f"stemscribe.{place.partition(':')[0]}") for place, _ in TIMED)
