"""How far a stem is from the true one, in decibels, read second by second: an hour takes no more memory than a minute.

Three sums over the samples are enough. The libraries for this want whole recordings in memory, and a least-squares
filter of 512 taps on top (BSS Eval), in which a muffled stem passes for a true one; docs/decisions/0017-evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.probe import probe
from stemscribe.timebase import Seconds, to_seconds

RATE = 44100  # Hz, at which stems are compared, in stereo
_SILENCE = 1e-9  # mean square; -90 dB: in a second that is quieter than this, there is nothing to be true to


@dataclass(frozen=True)
class Distortion:
    """How far a stem is from the true one; more decibels are better, and `None` stands for what is not defined.

    Attributes:
        si_sdr: scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", 2019):
            the true stem at the level that fits best, against what then differs; means are not taken off.
        sdr: what differs at the level as it is (the SDR of the Music Demixing Challenge; Mitsufuji et al. 2022).
        sdr_median: the median of that over seconds in which the true stem is not silent.
        gain: by how much `si_sdr` is above that of the mixture itself (SI-SDRi).
        seconds: the length of the true stem.
    """

    si_sdr: float | None
    sdr: float | None
    sdr_median: float | None
    gain: float | None
    seconds: Seconds


@dataclass
class _Sums:
    """What the decibels are made of: energies of the true stem and of the difference, and their product.

    Summed for the difference and not for the stem, because of a stem that is nearly right little else is left.
    """

    true: float = 0.0
    difference: float = 0.0
    product: float = 0.0

    def add(self, true: Array, estimate: Array) -> float | None:
        """Take in a block `[channels, frames]`; returns its own SDR, `None` where the true stem is silent."""
        reference = true.astype(np.float64)
        difference = estimate.astype(np.float64) - reference
        energy, noise = float(np.sum(reference**2)), float(np.sum(difference**2))
        self.true += energy
        self.difference += noise
        self.product += float(np.sum(reference * difference))
        return None if energy <= _SILENCE * reference.size else _decibels(energy, noise)

    @property
    def sdr(self) -> float | None:
        return _decibels(self.true, self.difference) if self.true else None

    @property
    def si_sdr(self) -> float | None:
        if not self.true:
            return None
        fitting = 1 + self.product / self.true  # how loud the true stem is in the estimate
        return _decibels(fitting**2 * self.true, self.difference - self.product**2 / self.true)


def distortion(true: Path, estimate: Path, mixture: Path | None = None, *, level: float = 1.0) -> Distortion:
    """How far a stem is from the true one, over the length of the true one.

    All are heard as stereo at 44.1 kHz from their beginnings; all channels count as one signal. Where the estimate ends
    before the true stem, it is silent; what comes after the true stem's end is not looked at.

    Args:
        true: the true stem, in any format.
        estimate: the stem to be judged.
        mixture: what it was separated from.
        level: what the estimate's samples were multiplied by when it was written.

    Raises:
        MediaError: one of the files cannot be read.
    """
    paths = (estimate,) if mixture is None else (estimate, mixture)
    separated, mixed = _Sums(), _Sums()
    seconds, frames = [], 0
    others = [_continued(_blocks(path)) for path in paths]
    for block in _blocks(true):
        frames += block.shape[1]
        heard = [next(other)[:, : block.shape[1]] for other in others]
        seconds.append(separated.add(block, heard[0] / np.float32(level)))
        if mixture is not None:
            mixed.add(block, heard[1])
    known = [value for value in seconds if value is not None]
    before, after = mixed.si_sdr, separated.si_sdr
    gain = None if before is None or after is None or math.isinf(before) else after - before
    return Distortion(
        si_sdr=_finite(after),
        sdr=_finite(separated.sdr),
        sdr_median=_finite(median(known)) if known else None,
        gain=_finite(gain),
        seconds=to_seconds(frames, RATE),
    )


def mean_distortion(stems: Iterable[Distortion]) -> Distortion:
    """The mean of each measure over stems in which it is defined, and the sum of their lengths."""
    every = list(stems)
    return Distortion(
        si_sdr=_mean(stem.si_sdr for stem in every),
        sdr=_mean(stem.sdr for stem in every),
        sdr_median=_mean(stem.sdr_median for stem in every),
        gain=_mean(stem.gain for stem in every),
        seconds=sum(stem.seconds for stem in every),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


_BEST = 150.0  # dB; beyond it, nothing but the rounding of the sums is measured


def _decibels(signal: float, noise: float) -> float:
    if signal <= 0:
        return -math.inf
    return min(_BEST, 10 * math.log10(signal / max(noise, signal * 1e-30)))


def _finite(value: float | None) -> float | None:
    """A measure as JSON can say it: what has nothing of the true stem in it has no figure."""
    return None if value is None or math.isinf(value) else value


def _blocks(path: Path) -> Iterator[Array]:
    """A file as blocks `[2, 44100]`, of which the last may be shorter."""
    track = probe(path).track()
    waiting = np.zeros((2, 0), np.float32)
    for piece in TrackDecoder(path, track.number, RATE).blocks():
        waiting = np.concatenate([waiting, piece], axis=1)
        while waiting.shape[1] >= RATE:
            yield waiting[:, :RATE]
            waiting = waiting[:, RATE:]
    if waiting.shape[1]:
        yield waiting


def _continued(blocks: Iterator[Array]) -> Iterator[Array]:
    """Blocks of a second each, with silence after the last."""
    for block in blocks:
        yield np.pad(block, ((0, 0), (0, RATE - block.shape[1])))
    while True:
        yield np.zeros((2, RATE), np.float32)
