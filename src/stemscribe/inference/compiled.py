"""Compiled graphs that are kept beside their model: a graph of 1400 operations takes as long to compile as a window.

A file begins with the sha256 of what follows, so that one that was damaged is compiled anew and not computed with. Its
name depends on all that it was made from and for. It is a convenience: a folder that cannot be written, or a full disk,
costs time and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stemscribe.errors import StorageError
from stemscribe.records import replacing

KEPT = 2  # with vocals alone, and with all stems
_DIGEST_BYTES = hashlib.sha256().digest_size


class CompiledGraphs:
    """Those of one model.

    Args:
        folder: where they are, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, facts: Sequence[str]) -> bytes | None:
        """What was kept under these facts; `None` if there is nothing, or nothing whole."""
        try:
            content = self._path(facts).read_bytes()
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def keep(self, facts: Sequence[str], compiled: bytes) -> None:
        """Keep it, and no more than the last few, where that is possible."""
        with suppress(OSError, StorageError):
            with replacing(self._path(facts)) as temporary:
                temporary.write_bytes(hashlib.sha256(compiled).digest() + compiled)
            kept = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)

    def _path(self, facts: Sequence[str]) -> Path:
        return self._folder / f"{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:16]}.bin"
