"""What was found good in a model's folder, so that gigabytes need not be hashed again to know it.

A file whose size and modification time are those of the receipt is taken to be the file that was hashed then; one that
differs in either is hashed again. A receipt that is lost or damaged costs a hash, nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from stemscribe.errors import RecordError
from stemscribe.models.spec import ModelFile
from stemscribe.records import read_record, sha256_of, write_record

RECEIPT = ".receipt.json"


@dataclass(frozen=True)
class Seen:
    """A file as it was when it was last hashed."""

    size: int
    mtime_ns: int
    sha256: str


Receipt: TypeAlias = Mapping[str, Seen]


@dataclass(frozen=True)
class FileCheck:
    """What hashing one file of a model has shown.

    Attributes:
        status: `unknown` when neither the catalog nor a receipt says what it should be.
        expected: the sha256 of the catalog, or of the receipt where the catalog has none.
        found: the sha256 of what is there.
    """

    file: str
    status: Literal["whole", "damaged", "missing", "unknown"]
    expected: str | None = None
    found: str | None = None

    @property
    def whole(self) -> bool:
        return self.status == "whole"


def read_receipt(folder: Path) -> dict[str, Seen]:
    """The receipt of a model's folder; empty when there is none that can be read."""
    try:
        return read_record(folder / RECEIPT, dict[str, Seen])
    except RecordError:
        return {}


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Replace the receipt of a model's folder, atomically."""
    write_record(folder / RECEIPT, receipt)


def see(path: Path, sha256: str) -> Seen:
    """The entry for a file that was just hashed."""
    status = path.stat()
    return Seen(status.st_size, status.st_mtime_ns, sha256)


def doubt(seen: Seen) -> Seen:
    """The entry of a file that was found damaged: it fits no file, but remembers which one was good."""
    return replace(seen, size=0, mtime_ns=0)


def is_known(path: Path, file: ModelFile, seen: Seen | None) -> bool:
    """Whether a file is the one that was hashed, and that one is what the catalog wants; nothing is read to tell."""
    if seen is None or file.sha256 not in (None, seen.sha256):
        return False
    try:
        return see(path, seen.sha256) == seen
    except OSError:
        return False


def check(path: Path, file: ModelFile, seen: Seen | None) -> FileCheck:
    """Hash a file and say what it is.

    Where the catalog has no sha256, that of the receipt counts; where there is no receipt either, the size; and where
    the catalog has no size, nothing tells whether the file is right.
    """
    expected = file.sha256 or (seen.sha256 if seen else None)
    if not path.is_file():
        return FileCheck(file.name, "missing", expected)
    found = sha256_of(path)
    if expected is None and file.size is None:
        return FileCheck(file.name, "unknown", found=found)
    sized = file.size is None or path.stat().st_size == file.size
    return FileCheck(file.name, "whole" if sized and expected in (None, found) else "damaged", expected, found)
