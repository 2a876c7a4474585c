"""Work that is done while other work is: threads, for code that lets go of the interpreter while it computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many this process may use: in a container, or bound to some of them, fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS, nor on Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 1, ahead: int = 1
) -> Iterator[tuple[Item, Result]]:
    """Each item with what work makes of it, in order; the next one is under way while the caller deals with one.

    Items are taken on the caller's own thread. What the work raises is raised where its result is due. Whoever stops
    early does not wait for what is under way.

    Args:
        work: called on threads of its own.
        items: taken ahead of the results.
        threads: 1 for work that must not run twice at a time, 2 for work that may: then an item need not wait for the
            one before it.
        ahead: how many items may be under way, or done, while one is waited for.

    >>> list(one_ahead(lambda number: number * 10, [1, 2, 3]))
    [(1, 10), (2, 20), (3, 30)]
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > ahead:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def made_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; each one is made, on a thread of its own, while the caller deals with the one before.

    >>> list(made_ahead(number * 10 for number in [1, 2, 3]))
    [10, 20, 30]
    """
    making = iter(items)
    for _, made in one_ahead(lambda _: tuple(islice(making, 1)), count()):
        if not made:
            return
        yield made[0]


def _done(item: Item, future: Future[Result]) -> tuple[Item, Result]:
    return item, future.result()


def at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What work makes of each item, all at the same time, each on a thread of its own.

    >>> at_once(lambda number: number * 10, [1, 2, 3])
    [10, 20, 30]
    """
    tasks = list(items)
    with ThreadPoolExecutor(max(1, len(tasks))) as pool:
        return list(pool.map(work, tasks))
