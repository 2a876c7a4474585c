"""A stamp of an environment: the same as long as nobody has touched it.

The marker tells what was proven once. Somebody may have removed a file or installed a package by hand since; to prove
all of it again takes seconds, to look at it takes a fraction of one. So what was found out about an environment is
remembered under this stamp.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stemscribe.environments.installed import site_packages
from stemscribe.environments.interpreter import python_in

# Python writes these when it likes.
BYTE_CODE = "__pycache__"
STAMP_NAME = "stemscribe-stamp.txt"


def stamp(venv: Path) -> str:
    """A hash over everything in an environment's site-packages but byte code, and over its interpreter.

    Path, size, time of modification and mode of every file count, and where links lead; the content is not read. A
    file that was changed to the same size, with its time put back, is not noticed.

    Args:
        venv: its folder; one that is not there has a stamp too.

    Returns:
        64 hexadecimal digits. 0.13 s for the 22,000 files of a torch environment on the machine of development.
    """
    digest = hashlib.sha256()
    for line in _lines(venv):
        digest.update(os.fsencode(line) + b"\0")
    return digest.hexdigest()


def is_untouched(venv: Path) -> bool:
    """Whether an environment is as it was when `write_stamp` was last called."""
    try:
        return (venv / STAMP_NAME).read_text(encoding="utf-8") == stamp(venv)
    except (OSError, ValueError):
        return False


def write_stamp(venv: Path) -> None:
    """Remember an environment as it is now; one that cannot be written to is looked at anew each time."""
    with suppress(OSError):
        (venv / STAMP_NAME).write_text(stamp(venv), encoding="utf-8")


def stamp_of(folder: Path) -> str:
    """The same over any folder, for example that of a package which is used where it lies."""
    digest = hashlib.sha256()
    for line in _below(str(folder), len(str(folder))):
        digest.update(os.fsencode(line) + b"\0")
    return digest.hexdigest()


def _lines(venv: Path) -> Iterator[str]:
    python = python_in(venv)
    yield _facts(python, follow=False)
    yield _facts(python, follow=True)  # the Python that it leads to may have been updated, or be gone
    yield _facts(venv / "pyvenv.cfg", follow=False)
    site = str(site_packages(venv))
    yield from _below(site, len(site))


def _below(folder: str, skip: int) -> Iterator[str]:
    """A line for each file below a folder, in a fixed order; `skip` characters of each path are left out."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield f"{folder[skip:]} {type(error).__name__}"
        return
    for entry in found:
        if entry.name != BYTE_CODE:
            is_folder = entry.is_dir(follow_symlinks=False)
            yield f"{entry.path[skip:]} {_status(entry, is_folder)}"
            if is_folder:
                yield from _below(entry.path, skip)


def _status(entry: os.DirEntry[str], is_folder: bool) -> str:
    """What counts of a file; of a folder its mode alone, because Python writes byte code into it."""
    try:
        status = entry.stat(follow_symlinks=False)
        leads_to = Path(entry.path).readlink() if entry.is_symlink() else ""
    except OSError as error:  # it vanished while we looked
        return type(error).__name__
    return f"{status.st_mode}" if is_folder else f"{status.st_mode} {status.st_size} {status.st_mtime_ns} {leads_to}"


def _facts(path: Path, *, follow: bool) -> str:
    try:
        status = path.stat() if follow else path.lstat()
    except OSError as error:
        return type(error).__name__
    return f"{status.st_mode} {status.st_size} {status.st_mtime_ns}"
