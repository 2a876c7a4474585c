"""Records that are mostly one long list, written and read an entry at a time.

A film of ten hours has a hundred thousand words. The files are those of `records.write_record`, byte for byte; nothing
here knows more of JSON than that no text in it holds a line break, so that in a file laid out by us a line's
indentation tells what it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from stemscribe.errors import RecordError
from stemscribe.records import invalid_record, regular, replacing, to_json, unreadable_record

Record = TypeVar("Record")
Row = TypeVar("Row")
_FIELD, _ENTRY = b"  ", b"    "  # how far they are indented


def write_rows(path: Path, record: object, **rows: Iterable[object]) -> None:
    """Replace `path` by the JSON of a record, atomically, without ever holding all of it.

    Args:
        path: the file.
        record: a dataclass.
        rows: by name, the entries of those of its fields that are lists too long to be held.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        before = b"{\n"
        for field in dataclasses.fields(record):  # type: ignore[arg-type]
            file.write(before + _FIELD + b'"%s": ' % field.name.encode())
            if field.name in rows:
                _write_list(file, rows[field.name])
            else:
                file.write(_indented(getattr(record, field.name), _FIELD))
            before = b",\n"
        file.write(b"\n}\n")


def _write_list(file: IO[bytes], entries: Iterable[object]) -> None:
    before = b"[\n"
    for entry in entries:
        file.write(before + _ENTRY + _indented(entry, _ENTRY))
        before = b",\n"
    file.write(b"[]" if before == b"[\n" else b"\n" + _FIELD + b"]")


def _indented(value: object, margin: bytes) -> bytes:
    return to_json(value).rstrip(b"\n").replace(b"\n", b"\n" + margin)


def read_head(path: Path, kind: type[Record]) -> Record:
    """The record in a file of ours, without what is in its lists.

    Raises:
        RecordError: the file is missing, or does not have the fields of `kind`.
    """
    lines: list[bytes] = []
    with _read(path, kind) as file:
        for line in file:
            if line.startswith(_FIELD + b'"') and line.endswith(b"[\n"):
                lines.append(line[:-1])  # what follows its entries is the closing bracket
            elif not line.startswith(_FIELD + b" "):
                lines.append(line)
        return msgspec.json.decode(b"".join(lines), type=kind)


def read_rows(path: Path, field: str, kind: type[Row]) -> Iterator[Row]:
    """The entries of one list of the record in a file of ours, one at a time.

    Args:
        path: the file.
        field: the name of the list; its entries are objects.
        kind: of each entry.

    Raises:
        RecordError: the file is missing, is not laid out by us, or an entry does not have the fields of `kind`.
    """
    decoder, entry = msgspec.json.Decoder(kind), bytearray()
    opening = _FIELD + b'"%s": [' % field.encode()
    with _read(path, kind) as file:
        for line in file:
            if line.startswith(opening):
                break
        else:
            raise _foreign(path)
        if line.startswith(opening + b"]"):
            return
        for line in file:
            if not line.startswith(_ENTRY):
                break
            entry += line
            if line.startswith(_ENTRY + b"}"):
                yield decoder.decode(entry.rstrip(b",\n"))
                entry.clear()
        if entry or not line.startswith(_FIELD + b"]"):
            raise _foreign(path)


def _foreign(path: Path) -> RecordError:
    return RecordError(
        f"{path} is cut off, or was laid out by another program.",
        hint="Delete it, and run the job again: the stage that made it makes it anew.",
    )


@contextmanager
def _read(path: Path, kind: type) -> Iterator[IO[bytes]]:
    try:
        with regular(path).open("rb") as file:
            yield file
    except OSError as error:
        raise unreadable_record(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_record(path, kind, error) from error
