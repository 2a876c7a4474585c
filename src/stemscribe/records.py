"""Files that appear whole or not at all, and records kept in them as JSON.

A writer works on a temporary file beside the target, which is flushed to the disk and renamed: whoever sees the
target sees all of it, whatever is killed when. The idea is luigi's `temporary_path`; here the flush is added, because a
rename may reach the disk before the data does.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from stemscribe.errors import RecordError, StorageError

Record = TypeVar("Record")
TEMPORARY = ".part"
HASH_BLOCK = 1 << 20


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when the block ends well, and vanishes when it does not.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush_to_disk(temporary)
        temporary.replace(target)
        flush_to_disk(target.parent)
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until what was written to a file (or, on POSIX, which names a folder holds) has reached the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle for a folder's entries; NTFS journals them
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(path: Path, error: OSError) -> StorageError:
    """What to tell a user when `path` could not be written."""
    reason = error.strerror or type(error).__name__
    return StorageError(
        f"Could not write {path}: {reason}.",
        hint="Free some space or choose another folder, then run the job again; it goes on where it stopped.",
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
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise RecordError(f"Could not read {path}: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{path} is not a valid {kind.__name__}: {error}.",
            hint="Restore it from a copy, or delete the job's folder and prepare it again.",
        ) from error
