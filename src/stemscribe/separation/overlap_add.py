"""Weighted overlap-add, streamed: windows in, finished frames out.

The weights are Demucs' (adefossez/demucs, `demucs/apply.py`): a triangle with its peak in the middle of the window.
Demucs sums the whole film and divides at the end; here each frame is divided and let go as soon as no later window
can reach it. Every frame goes through the same sum and the same division, so that the result is the same.
"""

from __future__ import annotations

import numpy as np

from stemscribe.arrays import Array
from stemscribe.separation.windows import Window, WindowPlan


def triangle(frames: int) -> Array:
    """Weights of a window, `[frames]`: rising to 1 in the middle, never 0.

    >>> triangle(4).tolist()
    [0.5, 1.0, 1.0, 0.5]
    """
    rising = np.arange(1, frames // 2 + 1)
    falling = np.arange(frames - frames // 2, 0, -1)
    weights: Array = np.concatenate([rising, falling]).astype(np.float32)
    weights /= weights.max()
    return weights


class OverlapAdd:
    """The running sum of one file.

    Args:
        plan: the windows that will be added, each once and in order.
        tail: where a former run stopped: what `tail` was then.
    """

    def __init__(self, plan: WindowPlan, tail: Array | None = None) -> None:
        self._plan = plan
        self._weights = triangle(plan.window_frames)
        self.tail = tail
        """Weighted sums `[stems, channels, frames]` of the frames that the next window will reach too."""

    @property
    def foretold(self) -> Array | None:
        """What the last window says, by itself, of the frames that the next one begins with: `[stems, channels,
        frames]`; `None` before the first.
        """
        if self.tail is None:
            return None
        estimate: Array = self.tail / self._weights[self._plan.stride_frames :][: self.tail.shape[-1]]
        return estimate

    def add(self, window: Window, estimate: Array) -> Array:
        """Add a window and let go of the frames which that finishes.

        Args:
            window: the one after the last that was added.
            estimate: `[stems, channels, window.frames]`.

        Returns:
            `[stems, channels, plan.finished(window) - window.start]`.
        """
        weights = self._weights[: window.frames].copy()
        summed: Array = estimate * weights
        if self.tail is not None:
            reached = self.tail.shape[-1]
            summed[..., :reached] += self.tail
            weights[:reached] += self._weights[self._plan.stride_frames :][:reached]
        finished = self._plan.finished(window) - window.start
        self.tail = summed[..., finished:].copy()
        settled: Array = summed[..., :finished] / weights[:finished]
        return settled
