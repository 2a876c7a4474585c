"""Log files of a job: everything that is said while it runs, with times, and tracebacks that no terminal shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemscribe.records import make_folder, storage_error
from stemscribe.wording import LegibleFormatter

ROOT = "stemscribe"
_FORMAT = "%(asctime)s [%(levelname)s] %(message)s"


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what the house logs to a file for the time of the block.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        make_folder(path.parent)
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise storage_error(path, error) from error
    handler.setFormatter(LegibleFormatter(_FORMAT))
    handler.setLevel(logging.DEBUG)
    logger = logging.getLogger(ROOT)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


class _LogFile(logging.FileHandler):
    """A log file that never stands in the way: what a full disk does not take is lost to the log, and to nothing
    else.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the job will tell of the disk when it matters, and nobody wants tracebacks of log lines."""

    def close(self) -> None:
        with suppress(OSError):  # it tries once more to write what did not fit
            super().close()
