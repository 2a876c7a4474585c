"""Work that is done while other work is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from stemscribe.concurrency import at_once, cores, made_ahead, one_ahead


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_items(threads: int, count: int) -> None:
    found = one_ahead(lambda number: number * number, range(count), threads=threads)
    assert list(found) == [(number, number * number) for number in range(count)]


def test_the_next_one_is_under_way_while_the_caller_deals_with_one() -> None:
    begun = [threading.Event() for _ in range(3)]
    for number, _ in one_ahead(lambda number: begun[number].set(), range(3)):
        assert all(each.wait(10) for each in begun[: number + 2])


def test_only_one_item_is_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    for number, _ in one_ahead(str, items(), threads=2):
        assert taken == list(range(min(number + 2, 9)))


def test_two_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    assert len(list(one_ahead(lambda number: meeting.wait(), range(4), threads=2))) == 4


def test_one_thread_never_works_on_two_items() -> None:
    lock = threading.Lock()

    def alone(number: int) -> int:
        assert lock.acquire(blocking=False)
        lock.release()
        return number

    assert len(list(one_ahead(alone, range(200)))) == 200


def test_an_error_is_raised_where_its_result_is_due() -> None:
    seen = []
    with pytest.raises(ZeroDivisionError):
        for number, _ in one_ahead(lambda number: 1 / (number - 2), range(9), threads=2):
            seen.append(number)
    assert seen == [0, 1]


def test_whoever_stops_early_does_not_wait() -> None:
    release = threading.Event()
    found = one_ahead(lambda number: number and release.wait(10), range(3))
    assert next(found) == (0, 0)
    found.close()  # would take ten seconds
    assert not release.is_set()
    release.set()


def test_an_item_is_made_while_the_caller_deals_with_the_one_before() -> None:
    made = [threading.Event() for _ in range(4)]

    def making() -> Iterator[int]:
        for number in range(3):
            made[number].set()
            yield number
        made[3].set()

    for number in made_ahead(making()):
        assert made[number + 1].wait(10)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_items_that_are_made_ahead_are_the_same(count: int) -> None:
    assert list(made_ahead(range(count))) == list(range(count))
    assert list(made_ahead([None, ()] * count)) == [None, ()] * count  # whatever they are


def test_an_error_in_the_making_is_raised_where_its_item_is_due() -> None:
    seen = []
    with pytest.raises(ZeroDivisionError):
        for made in made_ahead(1 / (number - 2) for number in range(9)):
            seen.append(made)
    assert seen == [-0.5, -1.0]


def test_what_is_made_ahead_can_be_given_up_at_any_time() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def making() -> Iterator[int]:
        yield 0
        begun.set()
        release.wait(10)
        ended.set()
        yield 1

    made = made_ahead(making())
    assert next(made) == 0
    assert begun.wait(10)
    made.close()  # would take ten seconds
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)


def test_all_items_are_worked_on_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert sorted(at_once(lambda number: meeting.wait(), range(3))) == [0, 1, 2]
    assert at_once(str, []) == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no process can be bound to some of the cores here")
def test_cores_are_those_that_this_process_may_use() -> None:
    script = (
        "import os; from stemscribe.concurrency import cores; all = cores();"
        " os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(all, cores())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(cores()), "1"]
