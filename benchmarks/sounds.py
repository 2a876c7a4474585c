"""Recordings of a corpus, as stereo at 44.1 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.decode import TrackDecoder

RATE = 44100
SUFFIXES = {".flac", ".ogg", ".mp3", ".wav"}
_AUDIBLE = 1e-4  # -80 dBFS: what is quieter does not count for the level of a voice


def recordings(folder: Path) -> list[Path]:
    """The recordings in a folder, by name."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


def decoded(path: Path) -> Array:
    """A whole recording: `[2, frames]`."""
    return np.concatenate(list(TrackDecoder(path, 0, RATE).blocks()), axis=1)


def rms(sound: Array) -> float:
    """Root of the mean square of all samples; never 0."""
    return float(np.sqrt(np.mean(np.square(sound)) + 1e-12))


def audible(sound: Array) -> Array:
    """The frames in which there is something to hear: `[2, up to frames]`."""
    heard: Array = sound[:, np.abs(sound).max(axis=0) > _AUDIBLE]
    return heard


def looped(sound: Array, crossfade: int) -> Array:
    """A piece of music that can follow itself without a click: its end fades into its beginning.

    Args:
        sound: `[2, frames]`.
        crossfade: how many frames of it; the loop is shorter by as many.
    """
    crossfade = min(crossfade, sound.shape[1] // 2)
    rising, falling = crossfade_curves(crossfade)
    loop: Array = sound[:, : sound.shape[1] - crossfade].copy()
    loop[:, :crossfade] = loop[:, :crossfade] * rising + sound[:, sound.shape[1] - crossfade :] * falling
    return loop


def crossfade_curves(frames: int) -> tuple[Array, Array]:
    """Rising and falling, of equal power together: `[frames]` each."""
    angle = (np.arange(frames, dtype=np.float32) + np.float32(0.5)) / np.float32(max(1, frames)) * np.float32(np.pi / 2)
    rising: Array = np.sin(angle).astype(np.float32)
    falling: Array = np.cos(angle).astype(np.float32)
    return rising, falling
