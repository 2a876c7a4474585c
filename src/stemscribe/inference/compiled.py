"""Compiled graphs that are kept beside their model: a graph of 1400 operations takes as long to compile as a window.

A file is named after all that it was made from and for, and after the sha256 of what it holds: one that was damaged is
compiled anew, and not computed with. Nobody vouches for that hash but who wrote the file: so what others could have
written is neither read nor touched. It is a convenience: a folder that cannot be written, or a full disk, costs time
and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stemscribe.errors import StorageError
from stemscribe.records import make_folder, replacing

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
COMPILED = "compiled"  # where, in the folder of a model
Bytes: TypeAlias = npt.NDArray[np.uint8]
KEPT = 2  # of HTDemucs with vocals alone, and with all stems; of Spleeter for itself, and for a look


class CompiledGraphs:
    """Those of one model.

    Args:
        folder: where they are, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, facts: Sequence[str]) -> Bytes | None:
        """What was kept under these facts; `None` if there is nothing, or nothing whole."""
        for path in self._folder.glob(f"{_digest(facts)}-*.bin"):
            with suppress(OSError):
                if not (_is_ours(self._folder) and _is_ours(path)):
                    continue
                compiled = _read(path)
                if path.name == _name(facts, compiled.data):
                    return compiled
        return None

    def keep(self, facts: Sequence[str], compiled: bytes) -> None:
        """Keep it, and no more than the last few, where that is possible."""
        with suppress(OSError, StorageError):
            if not os.path.lexists(self._folder):
                make_folder(self._folder)
                self._folder.chmod(0o700)
            if not _is_ours(self._folder):
                return
            with replacing(self._folder / _name(facts, compiled)) as temporary:
                temporary.write_bytes(compiled)
                temporary.chmod(0o600)
            kept = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether nobody else can have put a file or a folder there; links are nobody's."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return False
    return sys.platform == "win32" or (found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE)


def _read(path: Path) -> Bytes:
    """A file, in memory that a runtime may go on using: it takes none that cannot be written to."""
    with path.open("rb") as file:
        content = np.zeros(os.fstat(file.fileno()).st_size, np.uint8)
        file.readinto(content.data)
    return content


def _name(facts: Sequence[str], compiled: memoryview | bytes) -> str:
    return f"{_digest(facts)}-{hashlib.sha256(compiled).hexdigest()}.bin"


def _digest(facts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
