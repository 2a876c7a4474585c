"""Mean, standard deviation and peak of a mix, gathered while it passes by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stemscribe.arrays import Array


@dataclass(frozen=True)
class Level:
    """Of a whole file: `mean` and (unbiased) `std` of its mono mix, `peak` over all channels."""

    frames: int
    mean: float
    std: float
    peak: float


class LevelMeter:
    """Blocks in, level out, in constant memory: sums in float64, which for samples within ±1 lose nothing that
    matters.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._sum = 0.0
        self._squares = 0.0
        self._peak = 0.0

    def add(self, block: Array) -> None:
        """Count a block `[channels, frames]` in."""
        if not block.size:
            return
        mono = block.mean(axis=0, dtype=np.float64)
        self.frames += mono.size
        self._sum += float(mono.sum())
        self._squares += float(np.square(mono).sum())  # a dot product keeps a second core spinning for a while
        self._peak = max(self._peak, float(np.abs(block).max()))

    @property
    def level(self) -> Level:
        """The level of everything so far."""
        mean = self._sum / self.frames if self.frames else 0.0
        variance = (self._squares - self.frames * mean**2) / (self.frames - 1) if self.frames > 1 else 0.0
        return Level(self.frames, mean, math.sqrt(max(0.0, variance)), self._peak)
