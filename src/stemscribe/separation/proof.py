"""The proof that the files hold what was computed: they are read back, and compared with the journal window by window.

Whoever writes a film's stems in the end has to be trusted by everybody else; that trust has cost films. So nothing is
trusted here but what the audio room reads from the disk. Every file has all frames. Every sample is the one that was
committed, at the file's gain, rounded as the sample format rounds. Vocals and accompaniment add up to the mix. Of MP3,
which holds something else on purpose, only the length is proven.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.rounding import rounding, step
from stemscribe.audio.source import AudioSource
from stemscribe.concurrency import one_ahead
from stemscribe.errors import MediaError, StorageError
from stemscribe.records import flush_to_disk, storage_error
from stemscribe.separation.checks import CLICK_SURROUNDINGS, Doubt, find_click
from stemscribe.separation.finish import ACCOMPANIMENT, StemFiles, WrittenStem, at_file_level, stem_blocks
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import ReadMix
from stemscribe.separation.windows import Window
from stemscribe.timebase import clock, to_seconds

_AGAIN = "Check the disk, and run the job again: it writes the stems again from the windows, which are safe."
_LARGEST_ERROR = 2.5
"""Steps by which two stems may miss the mix: one for each file's rounding, and what float32 loses on the way there."""

_BLOCKS = 4
"""How many blocks of the mix are remembered: it is read for the stems, and again for their sum; decoding is a third of
the work here.
"""


@dataclass(frozen=True)
class Proof:
    """What was proven of the written stems.

    Attributes:
        frames: of each file, all of which were read back.
        exact: whether each sample is the one that was computed, rounded to the sample format; not asked of MP3.
        largest_error: how far vocals + accompaniment are from the mix (at the level of the files) at most, in steps of
            the sample format (for float: in 2^-24 of full scale); `None` where they cannot add up: other stems, MP3,
            or samples that were cut off.
    """

    frames: int
    exact: bool
    largest_error: float | None = None


def prove(
    journal: Journal, layout: Layout, read_mix: ReadMix, files: StemFiles, written: Mapping[str, WrittenStem]
) -> tuple[Proof, tuple[Doubt, ...]]:
    """Read the stems back and compare them with what was computed, in constant memory.

    Args:
        journal: with all windows committed.
        layout: of the journal.
        read_mix: gives spans of the mix.
        files: what was written.
        written: how, by stem.

    Returns:
        What was proven, and the clicks at seams that were heard on the way.

    Raises:
        StorageError: a file is not what was computed.
    """
    frames, exact, read_mix = layout.plan.total_frames, files.form != "mp3", lru_cache(maxsize=_BLOCKS)(read_mix)
    with ExitStack() as stack:
        sources = {name: stack.enter_context(_opened(path)) for name, path in files.paths.items()}
        for name, source in sources.items():
            if source.frames != frames and (exact or source.frames < frames):
                raise _not_as_written(files.paths[name], f"it has {source.frames} frames of {frames}")
        if not exact:
            return Proof(frames, exact), ()
        adds_up = ACCOMPANIMENT in written and not any(stem.cut_off for stem in written.values())
        sum_check = _Sum(files, written[ACCOMPANIMENT].gain, read_mix) if adds_up else None
        seams, rounded = _Seams(layout, files.sample_rate, read_mix), rounding(files.form, files.subtype)
        threads = stack.enter_context(ThreadPoolExecutor(len(sources)))  # libsndfile needs no interpreter meanwhile

        def compared(name: str, window: Window, stem: Array) -> Array:
            held = _read(sources[name], files.paths[name], window, stem)
            _compare(files, name, window, rounded(at_file_level(stem, written[name].gain, files.clip_mode)), held)
            return held

        def read(block: tuple[Window, dict[str, Array]]) -> dict[str, Array]:
            window, stems = block
            reading = {name: threads.submit(compared, name, window, stems[name]) for name in sources}
            return {name: done.result() for name, done in reading.items()}

        for (window, stems), held in one_ahead(read, stem_blocks(journal, layout, read_mix)):
            if sum_check:
                sum_check.add(window, held)
            seams.add(window, stems)
    return Proof(frames, exact, sum_check.largest if sum_check else None), tuple(seams.clicks)


def _opened(path: Path) -> AudioSource:
    """A stem as it is on the disk: what the system remembers of it is given up first, where that can be asked for."""
    try:
        flush_to_disk(path)
        if hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        return AudioSource(path)
    except MediaError as error:
        raise _not_as_written(path, str(error).rstrip(".")) from error


def _read(source: AudioSource, path: Path, window: Window, computed: Array) -> Array:
    try:
        return source.read(window.start, window.start + computed.shape[-1])
    except MediaError as error:
        raise _not_as_written(path, str(error).rstrip(".")) from error


def _compare(files: StemFiles, name: str, window: Window, computed: Array, held: Array) -> None:
    if computed.shape == held.shape and np.array_equal(computed, held):
        return
    if computed.shape != held.shape:
        raise _not_as_written(files.paths[name], f"it has {held.shape[0]} channels of {computed.shape[0]}")
    wrong = np.flatnonzero((computed != held).any(axis=0))
    channel = int(np.flatnonzero(computed[:, wrong[0]] != held[:, wrong[0]])[0])
    at = clock(to_seconds(window.start + int(wrong[0]), files.sample_rate))
    raise _not_as_written(
        files.paths[name],
        f"at {at} there is {held[channel, wrong[0]]:.7f} where {computed[channel, wrong[0]]:.7f} was written"
        f" ({len(wrong)} such frames in window {window.index})",
    )


def _not_as_written(path: Path, evidence: str) -> StorageError:
    return StorageError(f"{path.name} does not read back as what was written to it: {evidence}.", hint=_AGAIN)


class _Sum:
    """Whether vocals and accompaniment, as they are in the files, add up to the mix."""

    def __init__(self, files: StemFiles, gain: float, read_mix: ReadMix) -> None:
        self._files, self._gain, self._read_mix = files, gain, read_mix
        self.largest = 0.0

    def add(self, window: Window, held: Mapping[str, Array]) -> None:
        total = np.add(*held.values(), dtype=np.float64)
        mix = self._read_mix(window.start, window.start + total.shape[-1]) * self._gain
        loudest = max(1.0, *(float(np.abs(block).max(initial=0.0)) for block in held.values()))
        missed = float(np.abs(total - mix).max(initial=0.0)) / step(self._files.subtype)
        self.largest = round(max(self.largest, missed), 3)
        if missed > _LARGEST_ERROR * loudest:
            at = clock(to_seconds(window.start, self._files.sample_rate))
            raise StorageError(
                f"{' and '.join(path.name for path in self._files.paths.values())} do not add up to the mix: in the"
                f" window at {at} they miss it by {missed:.1f} steps of {self._files.subtype}.",
                hint="Run the job again: it writes the stems again from the windows. If it happens again, the mix was"
                " changed after it was separated: prepare the job anew.",
            )


class _Seams:
    """Listens for clicks where windows meet: where one begins, and where the one before it ends."""

    def __init__(self, layout: Layout, sample_rate: int, read_mix: ReadMix) -> None:
        self._layout, self._rate, self._read_mix = layout, sample_rate, read_mix
        self._before: dict[str, Array] = {}
        self.clicks: list[Doubt] = []

    def add(self, window: Window, stems: Mapping[str, Array]) -> None:
        n, overlap = CLICK_SURROUNDINGS + 1, self._layout.plan.overlap_frames
        for name in self._layout.stems:
            sound = stems[name]
            if window.index:
                if n <= sound.shape[-1] and name in self._before:
                    self._listen(window, window.start, name, np.concatenate([self._before[name], sound[:, :n]], -1))
                if n <= overlap <= sound.shape[-1] - n:
                    self._listen(window, window.start + overlap, name, sound[:, overlap - n : overlap + n])
            self._before[name] = sound[:, -n:]

    def _listen(self, window: Window, seam: int, name: str, sound: Array) -> None:
        n = sound.shape[-1] // 2
        doubt = find_click(window, seam, self._rate, name, sound, lambda: self._read_mix(seam - n, seam + n))
        if doubt:
            self.clicks.append(doubt)
