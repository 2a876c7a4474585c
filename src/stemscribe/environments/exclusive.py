"""One builder at a time: a lock that the operating system releases when its holders die.

`filelock` does the same for the rest of stemscribe, but nothing is installed yet when this is needed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RETRY_SECONDS = 0.2


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock on `path` for the length of the block; yields its file descriptor.

    On POSIX a child process that inherits the descriptor holds the lock as well. So a tool that outlives its killed
    parent keeps the next one out until it has ended, too.

    Args:
        path: a file to lock; it stays when the lock is released, because removing it would let two in.
        waiting: called once when someone else holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_to_lock(descriptor):
            waiting()
            while not _try_to_lock(descriptor):
                time.sleep(RETRY_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_to_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
