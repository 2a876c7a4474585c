"""A journal read while somebody else writes it: what is committed so far, and nothing else.

Only reads: it neither cuts a torn end off nor locks anything, since both files belong to the separation. What is not
whole yet, a line or the payload that it is about, is looked at again the next time.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from stemscribe.arrays import Array
from stemscribe.records import whole_entry
from stemscribe.separation.journal import FORMAT, LINES, PAYLOADS, Layout
from stemscribe.separation.windows import Window, WindowPlan


class Follower:
    """The windows of a journal that are committed so far.

    Args:
        folder: of the journal.

    Attributes:
        layout: what is separated.
        committed: how many windows were committed at the last look.

    Raises:
        ValueError: there is no journal yet, or none of a kind that can be followed.
        OSError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._lines, self._payloads = (folder / LINES).open("rb"), (folder / PAYLOADS).open("rb")
        self.committed = 0
        try:
            self.layout = _layout(self._lines.readline())
        except ValueError:
            self.close()
            raise
        self._position = self._lines.tell()

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both files."""
        self._lines.close()
        self._payloads.close()

    @property
    def frames(self) -> int:
        """Up to which frame the stems are finished."""
        plan = self.layout.plan
        return plan.finished(plan[self.committed - 1]) if self.committed else 0

    def look(self) -> int:
        """Take up what was committed since the last look; returns how many windows there are now."""
        self._lines.seek(self._position)
        while self.committed < len(self.layout.plan):
            entry, window = whole_entry(self._lines.readline()), self.layout.plan[self.committed]
            if entry is None or self.layout.entry_of(entry, window, self._payload(window)) is None:
                break
            self.committed += 1
            self._position = self._lines.tell()
        return self.committed

    def read(self, stem: str, start: int, stop: int) -> Array:
        """The frames `start` ≤ n < `stop` of a stem, `[channels, stop - start]`, all of them finished.

        Raises:
            ValueError: they are not.
        """
        if not 0 <= start <= stop <= self.frames:
            raise ValueError(f"frames {start} to {stop} are not finished, only those up to {self.frames} are")
        index, plan = self.layout.stems.index(stem), self.layout.plan
        block = np.zeros((self.layout.channels, stop - start), np.float32)
        for window in plan.starting_at(start // plan.stride_frames):
            if window.start >= stop:
                break
            first, last = max(start, window.start), min(stop, plan.finished(window))
            finished = self.layout.parts(window, self._payload(window))[0][index]
            block[:, first - start : last - start] = finished[:, first - window.start : last - window.start]
        return block

    def _payload(self, window: Window) -> bytes:
        self._payloads.seek(self.layout.position(window))
        return self._payloads.read(self.layout.payload_bytes(window))


class _Heading(msgspec.Struct, frozen=True):
    journal: int
    plan: WindowPlan
    stems: tuple[str, ...]
    channels: int
    runtime: str = ""
    gate: str = ""


def _layout(line: bytes) -> Layout:
    """What the first line of a journal says.

    Raises:
        ValueError: it is not whole yet, or not the first line of a journal that can be followed.
    """
    entry = whole_entry(line)
    if entry is None:
        raise ValueError("the journal has no heading yet")
    try:
        found = msgspec.json.decode(entry, type=_Heading)
    except msgspec.DecodeError as error:
        raise ValueError(f"this is no journal: {error}") from error
    layout = Layout(found.plan, found.stems, found.channels, found.runtime, found.gate)
    if found.journal != FORMAT or layout.heading() != entry:
        raise ValueError("this journal is of another kind")
    return layout
