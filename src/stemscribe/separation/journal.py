"""Committed windows: what keeps a separation from being lost.

Two files in a folder. `windows.f32` holds the payloads back to back: for each window its finished frames, then the tail
that the next window will be added to (both little-endian float32, `[stems, channels, frames]`). `windows.jsonl` holds
a line of facts about the whole, then a line a window: its index, where its payload ends, its CRC-32, and what is
doubtful about it, so that a resumed run ends with the same doubts as an undisturbed one. A payload is
flushed to the disk before its line is written, and the line before the window counts as committed. Opening checks
every line against its payload and cuts both files after the last window that is whole: so a torn write costs that
window, and a resumed run continues from exactly the state of the one that was killed. Keeping the tail with every
window costs a third more scratch space, and makes each window's state complete without touching an earlier one.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from stemscribe.arrays import Array
from stemscribe.errors import StorageError
from stemscribe.records import Lines, flush_to_disk, storage_error
from stemscribe.separation.checks import Doubt
from stemscribe.separation.windows import Window, WindowPlan

log = logging.getLogger(__name__)

FORMAT = 1  # what lines say of doubts may be left out, as it was at first: a film begun then is gone on with
_SAMPLE = np.dtype("<f4")


@dataclass(frozen=True)
class Layout:
    """What a journal is of, and what computes it; a journal of anything else is started anew."""

    plan: WindowPlan
    stems: tuple[str, ...]
    channels: int
    runtime: str = ""
    gate: str = ""  # a hash of how windows were treated, where not all of them were separated

    def payload_frames(self, window: Window) -> tuple[int, int]:
        """How many finished frames, and how many frames of tail, a window's payload has."""
        finished = self.plan.finished(window)
        return finished - window.start, window.stop - finished

    def payload_bytes(self, window: Window) -> int:
        return window.frames * len(self.stems) * self.channels * _SAMPLE.itemsize

    def position(self, window: Window) -> int:
        """Where a window's payload begins: all but the last few have the same length, so each has a slot of that."""
        return window.index * self.plan.window_frames * len(self.stems) * self.channels * _SAMPLE.itemsize

    @property
    def total_bytes(self) -> int:
        """What all payloads together take on the disk."""
        return sum(self.payload_bytes(window) for window in self.plan)

    def heading(self) -> bytes:
        """The first line of the journal."""
        facts = {"journal": FORMAT, **asdict(self)}
        if not self.gate:
            del facts["gate"]  # as it was before there was any
        return json.dumps(facts, separators=(",", ":")).encode()

    def end(self, window: Window, payload: bytes) -> int:
        """Where a window's payload ends."""
        return self.position(window) + len(payload)

    def entry_of(self, line: bytes, window: Window, payload: bytes) -> Entry | None:
        """What a line of the journal says of a window, if it is about this window and this payload."""
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        facts = (window.index, self.end(window, payload), zlib.crc32(payload))
        whole = len(payload) == self.payload_bytes(window)
        return entry if whole and (entry.window, entry.end, entry.crc32) == facts else None

    def parts(self, window: Window, payload: bytes) -> tuple[Array, Array]:
        """The finished frames and the tail that a payload holds, `[stems, channels, frames]` each."""
        stems, channels = len(self.stems), self.channels
        finished, tail = self.payload_frames(window)
        samples = np.frombuffer(payload, _SAMPLE).astype(np.float32)
        cut = stems * channels * finished
        return samples[:cut].reshape(stems, channels, finished), samples[cut:].reshape(stems, channels, tail)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the journal."""

    window: int
    end: int
    crc32: int
    doubts: tuple[Doubt, ...] = ()
    healed: tuple[Doubt, ...] = ()


LINES, PAYLOADS = "windows.jsonl", "windows.f32"


class Journal:
    """The committed windows of one separation.

    Args:
        folder: where its two files are, or will be.
        layout: what is separated.

    Attributes:
        committed: how many windows are safe.
        tail: the tail after the last of them, `[stems, channels, frames]`; `None` before the first.
        doubts: what is doubtful about them.
        healed: what was doubtful about some, and was not any more when they were separated once more.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._layout = layout
        self._path = folder / PAYLOADS
        self.committed = 0
        self.tail: Array | None = None
        self.doubts: tuple[Doubt, ...] = ()
        self.healed: tuple[Doubt, ...] = ()
        self._lines = Lines(folder / LINES, layout.heading())
        try:
            self._payloads = self._path.open("r+b" if self._path.exists() else "w+b")
        except OSError as error:
            self._lines.close()
            raise storage_error(self._path, error) from error
        try:
            self._recover()
            flush_to_disk(folder)
        except OSError as error:
            self.close()
            raise storage_error(folder, error) from error

    @property
    def committed_bytes(self) -> int:
        """What the committed windows take on the disk."""
        return sum(self._layout.payload_bytes(self._layout.plan[index]) for index in range(self.committed))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both files; what was committed is on the disk already."""
        # After a full disk, closing tries once more to write what did not fit; that must not hide the error itself.
        with suppress(OSError):
            self._payloads.close()
        with suppress(OSError):
            self._lines.close()

    def commit(
        self,
        window: Window,
        finished: Array,
        tail: Array,
        doubts: tuple[Doubt, ...] = (),
        healed: tuple[Doubt, ...] = (),
    ) -> None:
        """Make a window safe: when this returns, it is on the disk.

        Args:
            window: the first one that is not committed.
            finished: `[stems, channels, frames]`: what will not change any more.
            tail: `[stems, channels, frames]`: what the next window will be added to.
            doubts: what is doubtful about the window.
            healed: what was, before it was separated once more.

        Raises:
            StorageError: the disk is full or cannot be written; the windows before are safe.
        """
        if window.index != self.committed:
            raise ValueError(f"window {window.index} cannot follow {self.committed} committed ones")
        payload = b"".join(np.ascontiguousarray(part, _SAMPLE).tobytes() for part in (finished, tail))
        if len(payload) != self._layout.payload_bytes(window):
            raise ValueError(
                f"window {window.index} has {len(payload)} bytes, not {self._layout.payload_bytes(window)}"
            )
        try:
            self._payloads.seek(self._layout.position(window))
            self._payloads.write(payload)
            self._payloads.flush()
            os.fsync(self._payloads.fileno())
        except OSError as error:
            raise storage_error(self._path, error) from error
        entry = Entry(window.index, self._layout.end(window, payload), zlib.crc32(payload), doubts, healed)
        self._lines.append(msgspec.json.encode(entry))
        self._take_up(entry)
        self.tail = tail

    def finished(self) -> Iterator[tuple[Window, Array]]:
        """Each committed window with its finished frames, `[stems, channels, frames]`, in order.

        Raises:
            StorageError: a payload is not what was committed any more.
        """
        for entry, window in zip(self._lines.entries, self._layout.plan, strict=False):
            payload = self._payload(window)
            if self._layout.entry_of(entry, window, payload) is None:
                raise StorageError(
                    f"{self._path} changed on the disk: window {window.index} is not what was written.",
                    hint="Check the disk; run the job again, which separates from there on.",
                )
            yield window, self._layout.parts(window, payload)[0]

    def _recover(self) -> None:
        """Take up the windows that are whole, and cut off whatever follows them."""
        end = 0
        for line, window in zip(list(self._lines.entries), self._layout.plan, strict=False):
            payload = self._payload(window)
            entry = self._layout.entry_of(line, window, payload)
            if entry is None:
                break
            end = entry.end
            self._take_up(entry)
            self.tail = self._layout.parts(window, payload)[1]
        self._lines.keep(self.committed)
        self._payloads.truncate(end)
        if self.committed:
            log.info("%d of %d windows were already separated", self.committed, len(self._layout.plan))

    def _take_up(self, entry: Entry) -> None:
        self.committed = entry.window + 1
        self.doubts += entry.doubts
        self.healed += entry.healed

    def _payload(self, window: Window) -> bytes:
        self._payloads.seek(self._layout.position(window))
        return self._payloads.read(self._layout.payload_bytes(window))
