"""From committed windows to the files that a user keeps.

Two stems are vocals and accompaniment, and the accompaniment is what the mix has beside the vocals, so that both add
up to it. Clipping is avoided as Demucs does it (adefossez/demucs, `demucs/audio.py`, `prevent_clip`): a stem that
comes near full scale is brought down as a whole to 1/1.01. Where we differ: vocals and accompaniment are brought down
together, or they would not add up any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.writer import StemWriter
from stemscribe.choices import ClipMode, StemFormat, StemSubtype
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import ReadMix

VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"
_HEADROOM = 1.01


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


def write_stems(journal: Journal, layout: Layout, read_mix: ReadMix, files: StemFiles) -> dict[str, dict[str, float]]:
    """Write every stem, in constant memory.

    Args:
        journal: with all windows committed.
        layout: of the journal.
        read_mix: gives spans of the mix.
        files: what to write.

    Returns:
        By stem: its `peak` as separated, and the `gain` it was written at.
    """
    peaks = dict.fromkeys(files.paths, 0.0)
    for stems in _stem_blocks(journal, layout, read_mix):
        for name in peaks:
            peaks[name] = max(peaks[name], float(np.abs(stems[name]).max(initial=0.0)))
    gains = clip_gains(peaks) if files.clip_mode == "rescale" else dict.fromkeys(peaks, 1.0)
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
        for stems in _stem_blocks(journal, layout, read_mix):
            for name, writer in writers.items():
                block = stems[name] * np.float32(gains[name])
                writer.write(np.clip(block, -0.99, 0.99) if files.clip_mode == "clamp" else block)
    return {name: {"peak": peaks[name], "gain": gains[name]} for name in peaks}


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


def _stem_blocks(journal: Journal, layout: Layout, read_mix: ReadMix) -> Iterator[dict[str, Array]]:
    """The finished frames of each window, by stem, with the accompaniment among them."""
    for window, finished in journal.finished():
        stems = dict(zip(layout.stems, finished, strict=True))
        if VOCALS in stems:
            stems[ACCOMPANIMENT] = read_mix(window.start, window.start + finished.shape[-1]) - stems[VOCALS]
        yield stems
