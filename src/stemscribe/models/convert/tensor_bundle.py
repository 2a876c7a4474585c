"""A TensorFlow checkpoint read without TensorFlow: its tensors by name, each read when it is wanted.

A checkpoint is a tensor bundle (tensorflow/tensorflow, `core/util/tensor_bundle`, `core/protobuf/tensor_bundle.proto`):
one file of bare numbers, and one that tells where in it each tensor lies. The latter is a table of LevelDB's
(google/leveldb, `doc/table_format.md`): blocks of names, of which each begins like the one before it, an index of the
blocks, and a footer that says where the index is. What stands in the table under a name is a protocol buffer of a few
fields, which are decoded here by hand.

Here both files are one, the numbers first: so the table, whose footer tells its length, is found from the end.

A table may lie, but not at our cost: it has an upper size and is read once from front to back, and a tensor is a span
of the file. The numbers have checksums, too; they are not looked at, because the sha256 of the file has been.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stemscribe.models.convert.weights import Tensor

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # behind each block: how it is compressed, and its checksum
# 5 kB in Spleeter's; what is larger is something else.
TABLE_LIMIT = 2**20
LONGEST_NAME = 256
DEEPEST = 8  # dimensions of a tensor
_FLOAT32 = 1  # `DT_FLOAT` in TensorFlow's `types.proto`


class _Fields(NamedTuple):
    """A protocol buffer taken apart: whole numbers and nested parts by the number of the field."""

    numbers: dict[int, int]
    parts: dict[int, list[bytes]]


def read_bundle(path: Path) -> dict[str, Tensor]:
    """The float32 tensors of a bundle, by name; what else is in it (the step of the training) is left out.

    Args:
        path: the numbers (`.data-00000-of-00001`), and right behind them the table (`.index`).

    Raises:
        ValueError: this is no such file; it is damaged, or was cut short.
    """
    table, begin = _table(path)
    rows = _rows(table)
    _check_header(next(rows, None))
    tensors = ((name.decode(), _tensor(path, begin, name.decode(), _fields(entry))) for name, entry in rows)
    return {name: tensor for name, tensor in tensors if tensor is not None}


def _table(path: Path) -> tuple[bytes, int]:
    """The table, and where in the file it begins, which is where the numbers end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - FOOTER_BYTES))
        footer = file.read()
        if footer[-8:] != MAGIC.to_bytes(8, "little"):
            raise ValueError(f"{path.name} does not end in the table of a checkpoint: it is another file, or cut short")
        offset, size = _index(footer)
        length = offset + size + TRAILER_BYTES + FOOTER_BYTES
        if length > min(end, TABLE_LIMIT):
            raise ValueError("its table is larger than the file, or than that of any model")
        file.seek(end - length)
        return file.read(), end - length


def _index(footer: bytes) -> tuple[int, int]:
    """Where the index of the blocks is: the footer's second handle. The first is that of an empty block."""
    cursor = _Cursor(footer)
    _, _, offset, size = (cursor.number() for _ in range(4))
    return offset, size


def _rows(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names, and what the table has under them."""
    end = 0
    for _, handle in _entries(_block(table, *_index(table[-FOOTER_BYTES:]))):
        cursor = _Cursor(handle)
        offset, size = cursor.number(), cursor.number()
        if offset != end:  # or it might be the same block again and again
            raise ValueError("the blocks of its table do not follow each other")
        end = offset + size + TRAILER_BYTES
        yield from _entries(_block(table, offset, size))


def _block(table: bytes, offset: int, size: int) -> bytes:
    """A block without its trailer."""
    end = offset + size
    if end + TRAILER_BYTES + FOOTER_BYTES > len(table):
        raise ValueError("a block of its table lies outside of it")
    if table[end]:
        raise ValueError("its table is compressed, which TensorFlow does not do")
    if _checksum(table[offset : end + 1]) != int.from_bytes(table[end + 1 : end + TRAILER_BYTES], "little"):
        raise ValueError("its table is damaged: a checksum is wrong")
    return table[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. Of a key that begins like the one before it, only the rest is there."""
    restarts = int.from_bytes(block[-4:], "little")  # places where a whole key stands, for those who search
    end = len(block) - 4 * (1 + restarts)
    if end < 0:
        raise ValueError("a block of its table is damaged")
    cursor, key = _Cursor(block[:end]), b""
    while cursor.left:
        shared, fresh, size = (cursor.number() for _ in range(3))
        if shared > len(key) or shared + fresh > LONGEST_NAME:
            raise ValueError("it has a name that is none")
        key = key[:shared] + cursor.take(fresh)
        yield key, cursor.take(size)


def _check_header(first: tuple[bytes, bytes] | None) -> None:
    """The first row, without a name, tells how many files of numbers there are, and of which kind of machine."""
    if first is None or first[0]:
        raise ValueError("its table has no header")
    header = _fields(first[1]).numbers
    if header.get(1) != 1 or header.get(2, 0):
        raise ValueError("its numbers are in several files, or those of a big-endian machine, which is not supported")


def _tensor(path: Path, end: int, name: str, entry: _Fields) -> Tensor | None:
    """A `BundleEntryProto`: 1 type, 2 shape, 3 file, 4 offset, 5 size, 6 checksum, 7 slices."""
    if entry.numbers.get(1) != _FLOAT32:
        return None
    shape = _shape(entry.parts.get(2, []))
    dtype = np.dtype("<f4")
    offset, size = entry.numbers.get(4, 0), entry.numbers.get(5, 0)
    if entry.numbers.get(3, 0) or 7 in entry.parts:
        raise ValueError(f"{name} is in several pieces, or in another file")
    if size != math.prod(shape) * dtype.itemsize or offset + size > end:
        raise ValueError(f"the numbers of {name} are missing or cut short")
    count = size // dtype.itemsize
    return Tensor(dtype, shape, lambda: np.fromfile(path, dtype, count, offset=offset).reshape(shape))


def _shape(parts: list[bytes]) -> tuple[int, ...]:
    """A `TensorShapeProto`, whose field 2 is one dimension, whose field 1 is its size."""
    dimensions = [dimension for part in parts for dimension in _fields(part).parts.get(2, [])]
    if len(dimensions) > DEEPEST:
        raise ValueError("it has a tensor of too many dimensions")
    return tuple(_fields(dimension).numbers.get(1, 0) for dimension in dimensions)


def _fields(message: bytes) -> _Fields:
    """The fields of a protocol buffer; of a number that is there twice, the last one holds."""
    cursor, fields = _Cursor(message), _Fields({}, {})
    while cursor.left:
        field, kind = divmod(cursor.number(), 8)
        if kind == 0:
            fields.numbers[field] = cursor.number()
        elif kind == 2:
            fields.parts.setdefault(field, []).append(cursor.take(cursor.number()))
        elif kind in {1, 5}:  # eight and four bytes, such as a tensor's checksum
            cursor.take(8 if kind == 1 else 4)
        else:
            raise ValueError("its table has an entry that is none")
    return fields


class _Cursor:
    """A place in some bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise ValueError("its table is damaged: something in it is cut short")
        self._at += count
        return self._content[self._at - count : self._at]

    def number(self) -> int:
        """The next number, seven bits a byte, the lowest first; the highest bit of a byte says that more come."""
        value = 0
        for place in range(10):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise ValueError("its table is damaged: it has a number without an end")


def _checksum(content: bytes) -> int:
    """CRC-32C as LevelDB stores it: turned by 15 bits, and a constant added, so that it may itself be summed."""
    remainders, crc = _remainders(), 0xFFFFFFFF
    for byte in content:
        crc = remainders[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@lru_cache
def _remainders() -> list[int]:
    """What each byte leaves when it is divided by Castagnoli's polynomial."""
    remainders = list(range(256))
    for _ in range(8):
        remainders = [rest >> 1 ^ (0x82F63B78 if rest & 1 else 0) for rest in remainders]
    return remainders
