"""Where the windows lie: integers only, so that the plan can be checked by reading.

The plan is that of Demucs (adefossez/demucs, `demucs/apply.py`, `apply_model` with `split`): a window begins every
`window_frames - overlap_frames` frames for as long as there are frames left, and the last windows are short. What the
model is fed for a short window is *centred* in its full length, with real audio before it where there is any
(`TensorChunk.padded`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The frames `start` ≤ n < `stop` of the mix, estimated in one go."""

    index: int
    start: int
    stop: int

    @property
    def frames(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class WindowPlan:
    """The windows of a file.

    Args:
        total_frames: length of the mix.
        window_frames: what the model sees at once.
        overlap_frames: how many frames a window shares with the next one; at most half a window, so that never more
            than two windows meet.

    >>> [(window.start, window.stop) for window in WindowPlan(10, 4, 1)]
    [(0, 4), (3, 7), (6, 10), (9, 10)]
    """

    total_frames: int
    window_frames: int
    overlap_frames: int

    def __post_init__(self) -> None:
        if self.total_frames < 0 or self.window_frames < 1:
            raise ValueError(f"no plan for {self.total_frames} frames in windows of {self.window_frames}")
        if not 0 <= self.overlap_frames <= self.window_frames // 2:
            raise ValueError(f"overlap of {self.overlap_frames} frames in windows of {self.window_frames}")

    @property
    def stride_frames(self) -> int:
        """From the start of one window to that of the next."""
        return self.window_frames - self.overlap_frames

    def __len__(self) -> int:
        return -(-self.total_frames // self.stride_frames)

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = index * self.stride_frames
        return Window(index, start, min(start + self.window_frames, self.total_frames))

    def __iter__(self) -> Iterator[Window]:
        return self.starting_at(0)

    def starting_at(self, index: int) -> Iterator[Window]:
        """The windows from `index` on."""
        return (self[position] for position in range(index, len(self)))

    def finished(self, window: Window) -> int:
        """The frame up to which nothing will change once this window has been added."""
        return min(window.start + self.stride_frames, self.total_frames)

    def seen(self, window: Window) -> tuple[int, int]:
        """The span of exactly `window_frames` that the model is fed; it may reach beyond both ends of the mix."""
        start = window.start - (self.window_frames - window.frames) // 2
        return start, start + self.window_frames
