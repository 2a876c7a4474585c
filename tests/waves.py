"""Large WAV files as other programs see them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

BLOCK_FRAMES = 1 << 20
UNKNOWN = 0xFFFFFFFF  # what stands in the 32 bit fields of an RF64


@dataclass(frozen=True)
class Rf64:
    """The sizes in the header of an RF64 (EBU Tech 3306): of everything, of the samples, and how many frames."""

    riff_bytes: int
    data_bytes: int
    frames: int
    data_start: int


def rf64(path: Path) -> Rf64:
    """The header of a file, chunk by chunk; fails where it is not that of an RF64."""
    with path.open("rb") as file:
        kind, size, form, first, length = struct.unpack("<4sI4s4sI", file.read(20))
        assert (kind, size, form, first) == (b"RF64", UNKNOWN, b"WAVE", b"ds64")
        riff_bytes, data_bytes, frames = struct.unpack("<QQQ", file.read(length)[:24])
        while (name := file.read(4)) != b"data":
            file.seek(struct.unpack("<I", file.read(4))[0], 1)
            assert name
        assert struct.unpack("<I", file.read(4)) == (UNKNOWN,)
        return Rf64(riff_bytes, data_bytes, frames, file.tell())


def check_rf64(path: Path, frames: int, frame_bytes: int) -> None:
    """See that every size in the header is right."""
    size, header = path.stat().st_size, rf64(path)
    assert (header.riff_bytes, header.data_bytes, header.frames) == (size - 8, frames * frame_bytes, frames)
    assert header.data_start + header.data_bytes <= size <= header.data_start + header.data_bytes + 256


def digest_of_data(path: Path) -> str:
    """A hash of the samples as they lie in the file, by the header's word for where they are."""
    header, digest = rf64(path), hashlib.sha256()
    with path.open("rb") as file:
        file.seek(header.data_start)
        left = header.data_bytes
        while left:
            block = file.read(min(left, 1 << 22))
            assert block
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def digest_by_soundfile(path: Path, dtype: str) -> str:
    """A hash of the samples as libsndfile reads them."""
    digest = hashlib.sha256()
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(BLOCK_FRAMES, dtype=dtype):
            digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()


def digest_by_ffmpeg(path: Path) -> str:
    """A hash of the samples as FFmpeg reads them."""
    digest = hashlib.sha256()
    for block in _decoded(path):
        digest.update(block)
    return digest.hexdigest()


def _decoded(path: Path) -> Iterator[bytes]:
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            yield np.ascontiguousarray(frame.to_ndarray()).tobytes()
