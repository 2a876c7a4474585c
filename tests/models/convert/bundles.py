"""TensorFlow checkpoints made by hand, byte by byte: numbers, and behind them the table that says where they are."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

MAGIC = bytes.fromhex("57fb808b247547db")
EMPTY_BLOCK = bytes(4) + b"\x01\x00\x00\x00"
HEADER = b"\x08\x01\x1a\x02\x08\x01"  # one file of numbers, little-endian by default, version 1


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def varied(field: int, value: int) -> bytes:
    return number(field * 8) + number(value)


def nested(field: int, content: bytes) -> bytes:
    return number(field * 8 + 2) + number(len(content)) + content


def crc32c(content: bytes) -> int:
    """Bit by bit, as the polynomial says."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def entry(
    shape: Sequence[int], offset: int, size: int | None = None, *, kind: int = 1, shard: int = 0, more: bytes = b""
) -> bytes:
    """What a table says of a tensor."""
    dimensions = b"".join(nested(2, varied(1, length)) for length in shape)
    size = int(np.prod(shape)) * 4 if size is None else size
    place = (varied(3, shard) if shard else b"") + varied(4, offset) + varied(5, size)
    return varied(1, kind) + nested(2, dimensions) + place + number(6 * 8 + 5) + bytes(4) + more


def rows(pairs: Iterable[tuple[bytes, bytes]], *, restarts: int = 1) -> bytes:
    """A block: of each key, only what differs from the one before it."""
    block, before = b"", b""
    for key, value in pairs:
        shared = next((at for at, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), None)
        shared = min(len(key), len(before)) if shared is None else shared
        block += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    return block + bytes(4) * restarts + struct.pack("<I", restarts)


def sealed(block: bytes, *, compression: int = 0, damage: int = 0) -> bytes:
    """A block with its trailer."""
    crc = crc32c(block + bytes([compression]))
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return block + bytes([compression]) + struct.pack("<I", masked ^ damage)


def table_of(blocks: Sequence[bytes], handles: Sequence[tuple[int, int]] | None = None, **seal: int) -> bytes:
    """A table of finished blocks; `handles` says where they are, rightly or not."""
    stored = [sealed(block, **seal) for block in blocks]
    starts = [sum(map(len, stored[:index])) for index in range(len(stored))]
    places = handles or [(start, len(block)) for start, block in zip(starts, blocks, strict=True)]
    keys = (place.to_bytes(3, "big") for place in range(len(places)))
    index = rows((key, number(start) + number(size)) for key, (start, size) in zip(keys, places, strict=True))
    body = b"".join(stored)
    meta, body = (len(body), len(EMPTY_BLOCK)), body + sealed(EMPTY_BLOCK)
    footer = b"".join(map(number, (*meta, len(body), len(index))))
    return body + sealed(index) + footer.ljust(40, b"\0") + MAGIC


def bundle(tensors: Mapping[str, np.ndarray], *, per_block: int = 40) -> bytes:
    """A whole checkpoint: its numbers and its table, in blocks of so many names."""
    numbers, pairs = b"", [(b"", HEADER)]
    for name, array in sorted(tensors.items()):
        pairs.append((name.encode(), entry(array.shape, len(numbers))))
        numbers += array.astype("<f4").tobytes()
    blocks = [rows(pairs[at : at + per_block]) for at in range(0, len(pairs), per_block)]
    return numbers + table_of(blocks)
