"""What a sound looks like: the lowest and the highest sample of each hundredth of a second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemscribe.audio.source import BLOCK_FRAMES, AudioSource

PER_SECOND = 100
Peaks = npt.NDArray[np.int8]


def peaks_of(path: Path) -> Iterator[Peaks]:
    """The peaks of a file, some at a time: `[peaks, 2]`, lowest and highest, over all channels; 127 is full scale.

    Raises:
        StorageError: the file cannot be read.
    """
    with AudioSource(path) as source:
        each = source.sample_rate / PER_SECOND
        blocks = max(1, int(BLOCK_FRAMES / each))
        for first in range(0, math.ceil(source.frames / each), blocks):
            yield _peaks(source, each, first, blocks)


def _peaks(source: AudioSource, each: float, first: int, count: int) -> Peaks:
    """Up to `count` peaks from the one with this number on."""
    edges = np.round(np.arange(first, first + count + 1) * each).astype(np.int64)
    edges = np.minimum(edges, source.frames)
    edges = edges[: np.searchsorted(edges, source.frames) + 1]
    sound = source.read(int(edges[0]), int(edges[-1]))
    starts = edges[:-1] - edges[0]
    lowest, highest = (each_channel.reduceat(sound, starts, axis=1) for each_channel in (np.minimum, np.maximum))
    scaled = np.stack([lowest.min(axis=0), highest.max(axis=0)], axis=1) * 127
    return np.clip(np.round(scaled), -127, 127).astype(np.int8)
