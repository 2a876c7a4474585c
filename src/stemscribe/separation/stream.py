"""Separation of a file of any length, on one page.

For each window: read what the model is to see, bring it to unit level, separate it, add it to the running sum, bring
what is finished back to its level, and commit that. Meanwhile the model is at the next window already: it never waits
for a disk. At any time three windows are in memory and all others are on the disk, so that an hour needs no more memory
than a minute, and a run that is killed loses two windows at most. (A GPU that is given several windows at once has that
many where others have one.) What cannot be right about an estimate (`checks`) is
asked before it is added: such a window is separated once more, and if that does not help, the doubt is committed with
it and the film goes on.

The steps are those of Demucs' `apply_model(split=True, shifts=0)` and of the normalisation around it in its
`separate` command (adefossez/demucs, `demucs/apply.py`, `demucs/separate.py`). We differ in when a frame is divided
and written: as soon as it can be, not at the end. Random shifts are left out: the same input gives the same vocals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from stemscribe.arrays import Array
from stemscribe.choices import Quality
from stemscribe.concurrency import one_ahead
from stemscribe.separation.base import BatchSeparator, Separator
from stemscribe.separation.checks import HARD, Doubt, Estimate, examine, is_hard, silenced
from stemscribe.separation.gate import Treatment
from stemscribe.separation.journal import Journal
from stemscribe.separation.overlap_add import OverlapAdd
from stemscribe.separation.windows import Window, WindowPlan

OVERLAPS: dict[Quality, float] = {"exact": 0.25, "balanced": 0.1, "fast": 0.03}
"""The share of a window that it has in common with the next one; the first is Demucs' own."""
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

    @property
    def silence(self) -> float:
        """What silence is to the model."""
        return float(self.apply(np.zeros(1, np.float32))[0])

    def undo(self, stems: Array) -> Array:
        level: Array = stems * np.float32(self.deviation + _EPSILON) + np.float32(self.mean)
        return level


AS_IT_IS = Normalisation(0.0, 1.0)
"""For models that want the mix at the film's own level."""


def plan_for(separator: Separator, total_frames: int, overlap: float = OVERLAPS["exact"]) -> WindowPlan:
    """Demucs' windows for a file: the stride is rounded down to whole frames."""
    stride = int((1 - overlap) * separator.window_frames)
    return WindowPlan(total_frames, separator.window_frames, separator.window_frames - stride)


@dataclass(frozen=True)
class Separated:
    """A window with all that is to be committed of it.

    Attributes:
        finished: `[stems, channels, frames]`: what will not change any more, at the film's level.
        tail: `[stems, channels, frames]`: what the next window will be added to.
        doubts: what is doubtful about it.
        healed: what was, before it was separated once more.
    """

    window: Window
    finished: Array
    tail: Array
    doubts: tuple[Doubt, ...]
    healed: tuple[Doubt, ...]


def separate(
    read_mix: ReadMix,
    separator: Separator,
    plan: WindowPlan,
    level: Normalisation,
    journal: Journal,
    treated: Sequence[Treatment] = (),
) -> Iterator[Window]:
    """Separate every window that is not committed yet, and commit it.

    Args:
        read_mix: gives spans of the mix.
        separator: what separates one window.
        plan: the windows of the file.
        level: of the whole mix.
        journal: where windows are committed; it knows where to go on.
        treated: how each window is treated; none stands for all of them separated. Others than `separated` are for
            separators that give one stem.

    Yields:
        Each window once it is committed; the caller may report it, or stop.
    """
    for one in _separated(read_mix, separator, plan, level, treated, journal.committed, journal.tail):
        journal.commit(one.window, one.finished, one.tail, one.doubts, one.healed)
        yield one.window


def separate_again(
    read_mix: ReadMix,
    separator: Separator,
    plan: WindowPlan,
    level: Normalisation,
    index: int,
    treated: Sequence[Treatment] = (),
) -> Separated:
    """One window by itself, bit for bit as it is in the whole film's: what a finished stem can be checked against.

    The one before takes part where both overlap, and no other does: so two windows are separated.
    """
    *_, found = _separated(read_mix, separator, plan, level, treated, max(0, index - 1), stop=index + 1)
    return found


def _separated(
    read_mix: ReadMix,
    separator: Separator,
    plan: WindowPlan,
    level: Normalisation,
    treated: Sequence[Treatment],
    first: int,
    tail: Array | None = None,
    *,
    stop: int | None = None,
) -> Iterator[Separated]:
    """The windows from `first` to before `stop`, `tail` being what the one before the first left."""
    overlap_add = OverlapAdd(plan, tail)
    before = _treatment(treated, first - 1) if first else "silent"
    for seen, sound in _estimated(read_mix, separator, plan, level, treated, first, stop or len(plan)):
        believed = _Believed(sound, ())
        if seen.treatment == "separated":
            # What the window before says of these frames is only worth a comparison if the model said it.
            foretold = overlap_add.foretold if before == "separated" else None
            believed = _believed(separator, seen, sound, foretold, level.silence)
        finished = overlap_add.add(seen.window, believed.sound)
        assert overlap_add.tail is not None
        yield Separated(seen.window, level.undo(finished), overlap_add.tail, believed.doubts, believed.healed)
        before = seen.treatment


@dataclass(frozen=True)
class _Seen:
    """A window as the model sees it.

    Attributes:
        mix: `[channels, window_frames]`.
        own: those of its frames that are the window's; the others are what surrounds a window that is too short.
    """

    window: Window
    mix: Array
    own: slice
    treatment: Treatment


def _seen(
    read_mix: ReadMix,
    separator: Separator,
    plan: WindowPlan,
    level: Normalisation,
    treated: Sequence[Treatment],
    windows: Iterable[Window],
) -> Iterator[_Seen]:
    for window in windows:
        start, stop = plan.seen(window)
        # Silence beyond the ends is silence to the model too: padding comes after normalising, as in Demucs.
        inside = slice(max(0, -start), min(stop, plan.total_frames) - start)
        mix = np.zeros((separator.channels, plan.window_frames), np.float32)
        mix[:, inside] = level.apply(read_mix(start + inside.start, start + inside.stop))
        yield _Seen(window, mix, slice(window.start - start, window.stop - start), _treatment(treated, window.index))


def _estimated(
    read_mix: ReadMix,
    separator: Separator,
    plan: WindowPlan,
    level: Normalisation,
    treated: Sequence[Treatment],
    first: int,
    stop: int,
) -> Iterator[tuple[_Seen, Array]]:
    """Each window from `first` to before `stop` with what is said of it, `[stems, channels, frames]` of its own.

    Whole batches are computed, whatever is wanted of them: on some devices, what comes of a window depends on its
    company, to the last bit.
    """

    def estimates(batch: Sequence[_Seen]) -> list[Array]:
        mixes = [seen.mix for seen in batch if seen.treatment == "separated"]
        if isinstance(separator, BatchSeparator):
            found = iter(separator.separate_batch(mixes) if mixes else ())
        else:
            found = map(separator.separate, mixes)
        return [
            next(found)[..., seen.own]
            if seen.treatment == "separated"
            else _without_model(seen.mix[:, seen.own], seen.treatment, level.silence)
            for seen in batch
        ]

    size = separator.batch if isinstance(separator, BatchSeparator) else 1
    windows = (plan[index] for index in range(first - first % size, min(stop + -stop % size, len(plan))))
    following = _seen(read_mix, separator, plan, level, treated, windows)
    batches = iter(lambda: tuple(islice(following, size)), ())
    # Two at a time: what a model does before it computes, and after, then happens while it computes.
    for batch, sounds in one_ahead(estimates, batches, threads=2):
        for seen, sound in zip(batch, sounds, strict=True):
            if first <= seen.window.index < stop:
                yield seen, sound


def _treatment(treated: Sequence[Treatment], index: int) -> Treatment:
    return treated[index] if treated else "separated"


def _without_model(mix: Array, treatment: Treatment, silence: float) -> Array:
    """The only stem of a window that needs no model, `[1, channels, frames]`: all of the mix, or nothing."""
    return mix[None] if treatment == "passed" else np.full((1, *mix.shape), silence, np.float32)


@dataclass(frozen=True)
class _Believed:
    """The stems of a window, `[stems, channels, frames]`, with what is doubtful about them, and what was, the first
    time.
    """

    sound: Array
    doubts: tuple[Doubt, ...]
    healed: tuple[Doubt, ...] = ()


def _believed(separator: Separator, seen: _Seen, sound: Array, foretold: Array | None, silence: float) -> _Believed:
    """What came of a window; it is separated once more if that cannot be right."""
    first = Estimate(seen.window, separator.sample_rate, separator.stems, seen.mix[:, seen.own], sound, foretold)
    doubts = examine(first)
    if not is_hard(doubts):
        return _Believed(sound, doubts)
    second = replace(first, sound=separator.separate(seen.mix)[..., seen.own])
    remaining = examine(second)
    if is_hard(remaining):
        return _Believed(silenced(second, silence), remaining)
    return _Believed(second.sound, remaining, healed=tuple(doubt for doubt in doubts if doubt.kind in HARD))
