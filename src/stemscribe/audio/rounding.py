"""What samples become in a file: so that one can be proven to hold what was written to it, to the last bit.

libsndfile 1.2.2 rounds to the nearest step in FLAC, and down in WAV. These two rules cost next to nothing; which of
them holds is found out from the library itself, and a library that rounds in a third way is asked block by block.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import soundfile

from stemscribe.arrays import Array
from stemscribe.choices import StemFormat, StemSubtype

_BITS: dict[StemSubtype, int] = {"pcm16": 16, "pcm24": 24, "float": 25}  # of float, those that full scale has
_NAMES: dict[StemSubtype, str] = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}
_RATE = 44100  # any will do
Rounding = Callable[[Array], Array]


def step(subtype: StemSubtype) -> float:
    """The distance of two neighbouring sample values at full scale, which is 1.

    >>> step("pcm16") == 2**-15
    True
    """
    return float(2.0 ** -(_BITS[subtype] - 1))


@cache
def rounding(form: StemFormat, subtype: StemSubtype) -> Rounding:
    """A function that gives of a block `[channels, frames]` what it reads back as from a (lossless) file."""

    def asked(block: Array) -> Array:
        return _through_the_library(form, subtype, block)

    sample = _telling_sample()
    for rule in _rules(subtype):
        if np.array_equal(rule(sample), asked(sample)):
            return rule
    return asked


def _rules(subtype: StemSubtype) -> tuple[Rounding, ...]:
    """The ways of rounding that are known, in float32 throughout: powers of two cost no digit."""
    if subtype == "float":
        return (lambda block: block,)
    full = np.float32(2 ** (_BITS[subtype] - 1))
    finer = np.float32(2**31) / full

    def kept(steps: Array) -> Array:
        limited: Array = np.clip(steps, -full, full - 1) / full
        return limited

    return (
        lambda block: kept(np.rint(block * full)),
        lambda block: kept(np.floor(np.rint(block * np.float32(2**31)) / finer)),
    )


def _through_the_library(form: StemFormat, subtype: StemSubtype, block: Array) -> Array:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", _RATE, block.shape[0], _NAMES[subtype], format=form.upper()) as writer:
        writer.write(np.ascontiguousarray(block.T))
    file.seek(0)
    with soundfile.SoundFile(file) as reader:
        read: Array = reader.read(dtype="float32", always_2d=True)
    return np.ascontiguousarray(read.T)


def _telling_sample() -> Array:
    """Samples of all sizes, halves of a step, and beyond full scale, `[2, frames]`."""
    chance = np.random.default_rng(0)
    sizes = chance.standard_normal((2, 20_000)) * 2.0 ** -chance.integers(0, 26, (2, 20_000))
    halves = np.arange(-2000, 2000) / 2**16
    edges = np.array([0.0, 1.0, -1.0, 1 - 2**-24, -1 + 2**-24, 2.0, -2.0, 1 - 2**-16, 1 - 2**-15, 2**-24, -(2**-24)])
    more = np.concatenate([halves, halves / 2**8, edges])
    sample: Array = np.concatenate([sizes, np.stack([more, -more])], axis=-1).astype(np.float32)
    return sample
