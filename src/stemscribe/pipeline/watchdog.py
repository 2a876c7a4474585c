"""A watchdog: a stage that shows no sign of life for too long is ended, and what it had committed stays.

A call into a driver or a network disk may never return, and then nothing in this thread can end it: neither an
exception nor a signal handler gets a turn. So another thread waits, and when it has waited in vain it ends the process.
That is safe at any point: everything on the disk may be cut off at any point anyway.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

from stemscribe.timebase import Seconds

PATIENCE: Seconds = 1800.0  # a window takes 4 s, a region less than a minute; hashing the stems of ten hours, a few


class Watchdog:
    """Watches over a block of work.

    Args:
        patience: how long to wait for a sign of life.
        despair: called, in another thread, when there was none; the process ends with exit code 1 when it returns.
    """

    def __init__(self, patience: Seconds, despair: Callable[[], None]) -> None:
        self._patience, self._despair = patience, despair
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def alive(self) -> None:
        """Tell it that the work goes on."""
        self._last = time.monotonic()

    def __enter__(self) -> Watchdog:
        self.alive()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _watch(self) -> None:
        while (left := self._last + self._patience - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        try:
            self._despair()
        finally:
            os._exit(1)
