"""From committed windows to the files that a user keeps.

Two stems are vocals and accompaniment, and the accompaniment is what the mix has beside the vocals, so that both add
up to it. Clipping is avoided as Demucs does it (adefossez/demucs, `demucs/audio.py`, `prevent_clip`): a stem that
comes near full scale is brought down as a whole to 1/1.01. Where we differ: vocals and accompaniment are brought down
together, or they would not add up any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.writer import StemWriter
from stemscribe.choices import ClipMode, StemFormat, StemSubtype
from stemscribe.concurrency import made_ahead, one_ahead
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import ReadMix
from stemscribe.separation.windows import Window

VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"
_HEADROOM = 1.01
_CLAMPED = 0.99


@dataclass(frozen=True)
class StemFiles:
    """Which files to write, and how.

    Attributes:
        paths: by stem name.
        sample_rate: in Hz.
        form: file format.
        subtype: sample format.
        clip_mode: `rescale` as above, `clamp` to cut peaks off, `none` to leave them (integer formats cut them anyway).
    """

    paths: Mapping[str, Path]
    sample_rate: int
    form: StemFormat = "wav"
    subtype: StemSubtype = "pcm16"
    clip_mode: ClipMode = "rescale"

    @property
    def highest(self) -> float:
        """The largest absolute sample that is not cut off."""
        if self.clip_mode == "clamp":
            return _CLAMPED
        return math.inf if self.subtype == "float" or self.form == "mp3" else 1.0


@dataclass(frozen=True)
class WrittenStem:
    """How a stem was written.

    Attributes:
        peak: its largest absolute sample, as separated.
        gain: what it was multiplied by.
        cut_off: how many samples were beyond what the file was to hold, and were cut off.
    """

    peak: float
    gain: float
    cut_off: int


def write_stems(journal: Journal, layout: Layout, read_mix: ReadMix, files: StemFiles) -> dict[str, WrittenStem]:
    """Write every stem, in constant memory.

    Args:
        journal: with all windows committed.
        layout: of the journal.
        read_mix: gives spans of the mix.
        files: what to write.

    Returns:
        By stem, how it was written.
    """
    peaks = dict.fromkeys(files.paths, 0.0)
    for _, stems in stem_blocks(journal, layout, read_mix):
        for name in peaks:
            peaks[name] = max(peaks[name], float(np.abs(stems[name]).max(initial=0.0)))
    gains = clip_gains(peaks) if files.clip_mode == "rescale" else dict.fromkeys(peaks, 1.0)
    cut_off = dict.fromkeys(peaks, 0)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                StemWriter(
                    path,
                    files.sample_rate,
                    layout.channels,
                    layout.plan.total_frames,
                    form=files.form,
                    subtype=files.subtype,
                )
            )
            for name, path in files.paths.items()
        }
        threads = stack.enter_context(ThreadPoolExecutor(len(writers)))  # libsndfile needs no interpreter meanwhile

        def write(name: str, block: Array) -> None:
            writers[name].write(at_file_level(block, gains[name], files.clip_mode))
            if peaks[name] * gains[name] > files.highest:
                cut_off[name] += int(np.count_nonzero(np.abs(block) * gains[name] > files.highest))

        for _, stems in stem_blocks(journal, layout, read_mix):
            for done in [threads.submit(write, name, stems[name]) for name in writers]:
                done.result()
    return {name: WrittenStem(peaks[name], gains[name], cut_off[name]) for name in peaks}


def at_file_level(block: Array, gain: float, clip_mode: ClipMode) -> Array:
    """A block of a stem as it goes to the file's writer."""
    level: Array = block * np.float32(gain)
    return np.clip(level, -_CLAMPED, _CLAMPED) if clip_mode == "clamp" else level


def clip_gains(peaks: Mapping[str, float]) -> dict[str, float]:
    """What each stem is multiplied by so that it does not clip.

    >>> clip_gains({"drums": 0.5, "bass": 2.0})
    {'drums': 1.0, 'bass': 0.49504950495049505}
    >>> clip_gains({"vocals": 0.5, "accompaniment": 2.0})
    {'vocals': 0.49504950495049505, 'accompaniment': 0.49504950495049505}
    """
    gains = {name: 1.0 / max(_HEADROOM * peak, 1.0) for name, peak in peaks.items()}
    if ACCOMPANIMENT in gains:
        gains = dict.fromkeys(gains, min(gains.values()))
    return gains


def stem_blocks(journal: Journal, layout: Layout, read_mix: ReadMix) -> Iterator[tuple[Window, dict[str, Array]]]:
    """Each window with its finished frames, by stem, with the accompaniment among them."""

    def whole(committed: tuple[Window, Array]) -> dict[str, Array]:
        return with_accompaniment(layout, read_mix, *committed)

    for (window, _), stems in one_ahead(whole, made_ahead(journal.finished())):
        yield window, stems


def with_accompaniment(layout: Layout, read_mix: ReadMix, window: Window, finished: Array) -> dict[str, Array]:
    """The finished frames of a window by stem, with what the mix has beside the vocals."""
    stems = dict(zip(layout.stems, finished, strict=True))
    if VOCALS in stems:
        stems[ACCOMPANIMENT] = read_mix(window.start, window.start + finished.shape[-1]) - stems[VOCALS]
    return stems
