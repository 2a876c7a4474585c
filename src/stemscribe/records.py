"""Files that appear whole or not at all, or grow by whole lines, and records kept in them as JSON.

A writer works on a temporary file beside the target, which is flushed to the disk and renamed: whoever sees the
target sees all of it, whatever is killed when. The idea is luigi's `temporary_path`; here the flush is added, because a
rename may reach the disk before the data does.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import time
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar, overload

import msgspec

from stemscribe.errors import RecordError, StorageError

Record = TypeVar("Record")
TEMPORARY = ".part"
HASH_BLOCK = 1 << 20
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
_PATIENCE = 2.0


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when the block ends well, and vanishes when it does not.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with _writing(target):
            make_folder(target.parent)
        try:
            yield temporary
        except OSError as error:
            # What goes wrong in the block may be about other files; only what a disk says of itself is about this one.
            if is_unwritable(error) and error.filename in (None, str(temporary)):
                raise storage_error(target, error) from error
            raise
        with _writing(target):
            flush_to_disk(temporary)
            rename(temporary, target)
    finally:
        with suppress(OSError):  # what cannot be removed either must not hide why
            temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder that is not there, and those above it; when this returns, the disk knows their names.

    To flush what a folder holds does not flush its own name, which the folder above it keeps: after a power cut, all
    that was committed in it would be in a folder that nobody can find.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        flush_to_disk(path.parent)


def rename(source: Path, target: Path) -> None:
    """Give a flushed file its name, whatever had that name before; and wait until that is on the disk.

    On Windows a file cannot be replaced while another program reads it (a virus scanner, say): that is waited for.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            source.replace(target)
            break
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    flush_to_disk(target.parent)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(target, error) from error


def flush_to_disk(path: Path) -> None:
    """Wait until what was written to a file (or, on POSIX, which names a folder holds) has reached the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle for a folder's entries; NTFS journals them
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_unwritable(error: OSError) -> bool:
    """Whether an error says that a disk is full or may not be written."""
    return error.errno in _UNWRITABLE


def storage_error(path: Path, error: OSError) -> StorageError:
    """What to tell a user when `path` could not be written."""
    reason = str(error.strerror or type(error).__name__).rstrip(".")
    return StorageError(
        f"Could not write {path}: {reason}.",
        hint="Make room or choose another folder, then run the job again; it goes on where it stopped."
        if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}
        else "Choose a folder that you may write, with --out-dir.",
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def to_json(record: object) -> bytes:
    """A record as indented UTF-8 JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def write_record(path: Path, record: object) -> None:
    """Replace `path` by the JSON of a record, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(to_json(record))


def read_record(path: Path, kind: type[Record]) -> Record:
    """The record of type `kind` in a JSON file.

    Raises:
        RecordError: the file is missing, is not JSON, or does not have the fields of `kind`.
    """
    try:
        return msgspec.json.decode(regular(path).read_bytes(), type=kind)
    except OSError as error:
        raise unreadable_record(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_record(path, kind, error) from error


def regular(path: Path) -> Path:
    """The path of a file, if it is one: a pipe in its place would keep whoever opens it waiting.

    Raises:
        OSError: there is something else, or nothing.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(None, "it is no regular file")
    return path


def unreadable_record(path: Path, error: OSError) -> RecordError:
    """What to tell a user when a record cannot be read."""
    return RecordError(f"Could not read {path}: {error.strerror}.")


def invalid_record(path: Path, kind: type, error: Exception) -> RecordError:
    """What to tell a user when a file does not hold a record of this kind."""
    return RecordError(
        f"{path} is not a valid {kind.__name__}: {error}.",
        hint="Restore it from a copy; a manifest.json may be deleted, at the cost of running its stages again.",
    )


class Lines:
    """A file that grows by whole lines: what was appended survives whatever comes after, and half a line never counts.

    Each line carries its CRC-32. Opening checks the lines, and cuts the file after those that are whole. In memory are
    only the places where they end.

    Args:
        path: the file; made if there is none.
        heading: what it is about; a file with another heading is started anew.

    Attributes:
        entries: the contents of the lines, without the heading; each is read when it is asked for.

    Raises:
        StorageError: the file cannot be read or written.
    """

    def __init__(self, path: Path, heading: bytes) -> None:
        self._path = path
        try:
            make_folder(path.parent)
            self._file = path.open("r+b" if path.exists() else "w+b")
            if self._next() != heading:
                self._cut(0)
                self._append(heading)
                flush_to_disk(path.parent)
            self._ends = array("q", [self._file.tell()])
            while self._next() is not None:
                self._ends.append(self._file.tell())
            self.entries: Sequence[bytes] = _Entries(self._entry, self._ends)
            self.keep(len(self.entries))
        except OSError as error:
            raise storage_error(path, error) from error

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; everything in it is on the disk already."""
        self._file.close()

    def append(self, entry: bytes) -> None:
        """Add a line; when this returns, it is on the disk. The entry may not hold a newline."""
        try:
            self._file.seek(self._ends[-1])
            self._append(entry)
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._ends.append(self._file.tell())

    def keep(self, count: int) -> None:
        """Drop all entries but the first `count`."""
        del self._ends[count + 1 :]
        self._cut(self._ends[-1])

    def _append(self, entry: bytes) -> None:
        self._file.write(b"%08x %s\n" % (zlib.crc32(entry), entry))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _entry(self, index: int) -> bytes:
        self._file.seek(self._ends[index])
        entry = self._next()
        if entry is None:
            raise RecordError(f"{self._path} changed on the disk: line {index + 2} is not what was written.")
        return entry

    def _next(self) -> bytes | None:
        return whole_entry(self._file.readline())

    def _cut(self, end: int) -> None:
        self._file.seek(end)
        self._file.truncate()


def whole_entry(line: bytes) -> bytes | None:
    """What a line of such a file holds; `None` for half a line, or one that is not what was written."""
    checksum, _, entry = line[:-1].partition(b" ")
    return entry if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(entry) else None


class _Entries(Sequence[bytes]):
    """The lines of a file, read one at a time."""

    def __init__(self, read: Callable[[int], bytes], ends: array[int]) -> None:
        self._read, self._ends = read, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self._read(position) for position in range(*index.indices(len(self)))]
        return self._read(range(len(self))[index])
