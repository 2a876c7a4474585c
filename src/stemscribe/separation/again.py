"""One window once more, by itself: what a finished stem can be checked against without separating the film."""

from __future__ import annotations

from stemscribe.arrays import Array
from stemscribe.separation.base import Separator
from stemscribe.separation.checks import Doubt
from stemscribe.separation.stream import Normalisation, ReadMix, separate
from stemscribe.separation.windows import Window, WindowPlan


def separate_again(
    read_mix: ReadMix, separator: Separator, plan: WindowPlan, level: Normalisation, index: int
) -> tuple[Window, Array]:
    """A window with its finished frames, `[stems, channels, frames]`, bit for bit as they are in the whole film's.

    The one before takes part where both overlap, and no other does: so two windows are separated.

    Args:
        read_mix: gives spans of the mix.
        separator: what separates one window.
        plan: the windows of the film.
        level: of the whole mix.
        index: which window.
    """
    last = _Last(committed=max(0, index - 1))
    for window in separate(read_mix, separator, plan, level, last):
        if window.index == index:
            return window, last.finished
    raise IndexError(index)


class _Last:
    """Stands in for a journal, and keeps the last window only."""

    def __init__(self, committed: int) -> None:
        self.committed = committed
        self.tail: Array | None = None
        self.finished: Array

    def commit(
        self,
        window: Window,
        finished: Array,
        tail: Array,
        doubts: tuple[Doubt, ...] = (),
        healed: tuple[Doubt, ...] = (),
    ) -> None:
        self.committed, self.finished, self.tail = window.index + 1, finished, tail
