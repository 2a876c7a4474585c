"""Reading sound from a file that we wrote: any span of it, block by block, never the whole."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from stemscribe.arrays import Array
from stemscribe.audio.resample import Resampler
from stemscribe.errors import MediaError

STEREO = 2
_CANCELLED = 0.01  # 20 dB: no recording that is meant to be so comes near
BLOCK_FRAMES = 1 << 19  # 12 s at 44.1 kHz: 4 MB of stereo float32
MONO_FRAMES = 1 << 17  # 3 s: what becomes mono is resampled besides, and by several threads at once


class Source(ABC):
    """Sound of which any span can be read, as `[channels, frames]` float32.

    Attributes:
        frames: its length.
        sample_rate: in Hz.
    """

    frames: int
    sample_rate: int

    @abstractmethod
    def read(self, start: int, stop: int) -> Array:
        """The frames `start` ≤ n < `stop`, `[channels, stop - start]`, with silence beyond both ends."""

    def blocks(self, frames: int = BLOCK_FRAMES) -> Iterator[Array]:
        """All of it in blocks `[channels, ≤ frames]`."""
        for start in range(0, self.frames, frames):
            yield self.read(start, min(start + frames, self.frames))

    def read_mono(self, start: int, stop: int, sample_rate: int) -> Array:
        """A span as mono, `[1, frames]`, at another sample rate: what `to_mono` makes of all of it, read block by
        block.
        """
        resampler, energies, parts = Resampler(self.sample_rate, sample_rate, 2), np.zeros(2, np.float32), []
        for first in range(start, stop, MONO_FRAMES):
            both = _mean_and_difference(self.read(first, min(first + MONO_FRAMES, stop)))
            energies += _energies(both)
            parts.append(resampler.push(both))
        parts.append(resampler.push(np.zeros((2, 0), np.float32), last=True))
        return _whichever_is_heard(np.concatenate(parts, axis=1), energies)

    def mono_blocks(self, sample_rate: int, frames: int = MONO_FRAMES) -> Iterator[Array]:
        """All of it as mono at another sample rate, in blocks `[1, ~frames * sample_rate / self.sample_rate]`."""
        resampler = Resampler(self.sample_rate, sample_rate, 1)
        for block in self.blocks(frames):
            yield resampler.push(to_mono(block))
        yield resampler.push(np.zeros((1, 0), np.float32), last=True)


class AudioSource(Source):
    """An open sound file, read as `[channels, frames]` float32; threads may share it.

    Args:
        path: the file.
        gain: what its samples were multiplied by when it was written; reading takes that back.

    Raises:
        MediaError: the file is missing or is not a sound file.
    """

    def __init__(self, path: Path, *, gain: float = 1.0) -> None:
        self._level, self._lock = np.float32(1 / gain), threading.Lock()
        try:
            self._file = soundfile.SoundFile(path)
        except (OSError, soundfile.LibsndfileError) as error:
            raise MediaError(f"{path} cannot be read as sound: {error}.") from error
        self.frames = self._file.frames
        self.sample_rate = self._file.samplerate
        self.channels: int = self._file.channels

    def __enter__(self) -> AudioSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:  # libsndfile would go on reading, for another thread, from memory that is no longer its own
            self._file.close()

    def read(self, start: int, stop: int) -> Array:
        block = np.zeros((self.channels, max(0, stop - start)), np.float32)
        first, last = max(0, start), min(self.frames, stop)
        if first < last:
            with self._lock:
                frames = self._file_frames(first, last)
            np.multiply(frames.T, self._level, out=block[:, first - start : last - start])
        return block

    def _file_frames(self, first: int, last: int) -> Array:
        try:
            self._file.seek(first)
            frames: Array = self._file.read(last - first, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise MediaError(f"{self._file.name} is damaged: {error}.") from error
        if len(frames) < last - first:
            raise MediaError(f"{self._file.name} is damaged: it breaks off at frame {first + len(frames)}.")
        return frames


def to_mono(block: Array) -> Array:
    """Stereo as mono, `[1, frames]`: the mean of both sides, or half their difference where they cancel each other out.

    A side that was wired the wrong way round is a classic fault of transfers, and would leave nothing to be heard.
    """
    both = _mean_and_difference(block)
    return _whichever_is_heard(both, _energies(both))


def _mean_and_difference(block: Array) -> Array:
    """The mean of all channels, and half the difference of two, `[2, frames]`."""
    mean = block.mean(axis=0)
    difference = (block[0] - block[1]) * np.float32(0.5) if len(block) == STEREO else np.zeros_like(mean)
    return np.stack([mean, difference])


def _energies(both: Array) -> Array:
    energies: Array = np.sum(np.square(both), axis=1)
    return energies


def _whichever_is_heard(both: Array, energies: Array) -> Array:
    cancelled = energies[0] < _CANCELLED * energies[1]
    return both[1:] if cancelled else both[:1]
