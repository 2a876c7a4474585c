"""Sample rates, by soxr: streamed, so that a film is never held whole.

The output of a stream is the same as that of one call on everything (python-soxr's `ResampleStream`).
"""

from __future__ import annotations

import numpy as np

from stemscribe.arrays import Array

# Hz; in what is slower nothing can be heard, and what is faster nobody records. Damaged headers have such rates, and
# soxr takes 1.4 GB to turn 1 Hz into 44,100.
RATES = range(1000, 10_000_001)


class Resampler:
    """A stream of blocks from one sample rate to another.

    Args:
        source_rate: in Hz.
        target_rate: in Hz.
        channels: of every block.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int) -> None:
        self._channels = channels
        self._stream = None
        if source_rate != target_rate:
            import soxr

            self._stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32")

    def push(self, block: Array, *, last: bool = False) -> Array:
        """What is ready after this block.

        Args:
            block: `[channels, frames]`; may be empty.
            last: whether nothing will follow, so that the rest comes out.

        Returns:
            `[channels, frames]`; all blocks together are `frames * target_rate / source_rate` long, rounded.
        """
        if self._stream is None:
            return block
        resampled = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(np.asarray(resampled, dtype=np.float32).reshape(-1, self._channels).T)
