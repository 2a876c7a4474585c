"""Separation of a file of any length, on one page.

For each window: read what the model is to see, bring it to unit level, separate it, add it to the running sum, bring
what is finished back to its level, and commit that before the next window begins. At any time one window is in memory
and all others are on the disk, so that an hour needs no more memory than a minute, and a run that is killed loses the
window it was at.

The steps are those of Demucs' `apply_model(split=True, shifts=0)` and of the normalisation around it in its
`separate` command (adefossez/demucs, `demucs/apply.py`, `demucs/separate.py`). We differ in when a frame is divided
and written: as soon as it can be, not at the end. Random shifts are left out: the same input gives the same vocals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stemscribe.arrays import Array
from stemscribe.separation.base import Separator
from stemscribe.separation.journal import Journal
from stemscribe.separation.overlap_add import OverlapAdd
from stemscribe.separation.windows import Window, WindowPlan

OVERLAP = 0.25
_EPSILON = 1e-8  # keeps silence finite

ReadMix = Callable[[int, int], Array]
"""Gives the frames `start` ≤ n < `stop` of the mix, `[channels, stop - start]`, silent beyond its ends."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the whole file's mono mix: what the model's level is tied to."""

    mean: float
    deviation: float

    def apply(self, mix: Array) -> Array:
        normal: Array = (mix - np.float32(self.mean)) / np.float32(self.deviation + _EPSILON)
        return normal

    def undo(self, stems: Array) -> Array:
        level: Array = stems * np.float32(self.deviation + _EPSILON) + np.float32(self.mean)
        return level


def plan_for(separator: Separator, total_frames: int, overlap: float = OVERLAP) -> WindowPlan:
    """Demucs' windows for a file: the stride is rounded down to whole frames."""
    stride = int((1 - overlap) * separator.window_frames)
    return WindowPlan(total_frames, separator.window_frames, separator.window_frames - stride)


def separate(
    read_mix: ReadMix, separator: Separator, plan: WindowPlan, level: Normalisation, journal: Journal
) -> Iterator[Window]:
    """Separate every window that is not committed yet, and commit it.

    Args:
        read_mix: gives spans of the mix.
        separator: what separates one window.
        plan: the windows of the file.
        level: of the whole mix.
        journal: where windows are committed; it knows where to go on.

    Yields:
        Each window once it is committed; the caller may report it, or stop.
    """
    overlap_add = OverlapAdd(plan, journal.tail)
    for window in plan.starting_at(journal.committed):
        start, stop = plan.seen(window)
        # Silence beyond the ends is silence to the model too: padding comes after normalising, as in Demucs.
        inside = slice(max(0, -start), min(stop, plan.total_frames) - start)
        seen = np.zeros((separator.channels, plan.window_frames), np.float32)
        seen[:, inside] = level.apply(read_mix(start + inside.start, start + inside.stop))
        estimate = separator.separate(seen)[..., window.start - start :][..., : window.frames]
        finished = overlap_add.add(window, estimate)
        assert overlap_add.tail is not None
        journal.commit(window, level.undo(finished), overlap_add.tail)
        yield window
