"""From activity to regions: spans of at most 30 s in which speech recognition should listen.

A hop counts as voiced when the detector says so, or when the vocals are loud, both against their own level (a
percentile of it, so that one shout does not silence the rest) and against the mix (what separation leaves behind of
music alone is 20 dB or more below it). A line that is missed here is lost, and music that is let in is mostly
recognised as nothing: so when in doubt, in. All of it goes over the film a few minutes at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscribe.speech.activity import HOP, Activities, Activity
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region

Mask = npt.NDArray[np.bool_]
Span = tuple[int, int]

_PART_HOPS = 1 << 13  # four minutes
_LEVELS_A_DB = 100
_LEVELS = 120 * _LEVELS_A_DB


@dataclass(frozen=True)
class RegionRules:
    """How regions are found. Levels are in dB.

    Attributes:
        speech: probability from which the detector's word counts.
        release: and the one down to which a span goes on.
        floor_db: vocals below this are silence.
        percentile: of the level of vocals above the floor: what counts as their usual loudness.
        below_usual_db: how far below that vocals still count as loud.
        below_mix_db: how far below the mix vocals still count as heard.
        bridge: silences up to this are part of a span.
        shortest: spans of energy alone below this are clicks.
        pad: added at both ends.
        join: regions closer than this are heard together, for the sake of context.
        longest: of a region; what Whisper hears at once.
    """

    speech: float = 0.5
    release: float = 0.35
    floor_db: float = -60.0
    percentile: float = 90.0
    below_usual_db: float = 20.0
    below_mix_db: float = 12.0
    bridge: Seconds = 0.4
    shortest: Seconds = 0.4
    pad: Seconds = 0.6
    join: Seconds = 1.5
    longest: Seconds = 30.0


def find_regions(activity: Activities, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where to listen: in order, without overlap, none longer than `rules.longest`."""
    voiced = heapq.merge(_speech(activity, rules), _loud(activity, rules))
    spans = _joined(voiced, rules.bridge)
    counted = (
        (start, stop)
        for (start, stop), is_speech in _touched(spans, _speech(activity, rules))
        if is_speech or (stop - start) * HOP >= rules.shortest
    )
    together = _joined(_padded(counted, len(activity), rules.pad), rules.join)
    pieces = (piece for span in together for piece in _cut(span, activity, rules.longest))
    return tuple(Region(start * HOP, stop * HOP) for start, stop in pieces)


def find_speech(activity: Activities, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where the detector itself is sure of speech: the evidence that text is judged by."""
    return tuple(Region(start * HOP, stop * HOP) for start, stop in _speech(activity, rules))


def _speech(activity: Activities, rules: RegionRules) -> Iterator[Span]:
    """Where the detector hears speech, with hysteresis: where it may be, if somewhere within that it surely is."""
    possible = _spans(part.speech >= rules.release for part in _parts(activity))
    sure = _spans(part.speech >= rules.speech for part in _parts(activity))
    return (span for span, is_sure in _touched(possible, sure) if is_sure)


def _loud(activity: Activities, rules: RegionRules) -> Iterator[Span]:
    """Where the vocals are loud against their own usual level and against the mix."""
    quietest = max(rules.floor_db, usual_level(activity, rules) - rules.below_usual_db)
    return _spans(
        (part.vocals_db > quietest) & (part.vocals_db > part.mix_db - rules.below_mix_db) for part in _parts(activity)
    )


def usual_level(activity: Activities, rules: RegionRules) -> float:
    """The percentile of the level of vocals above the floor, to a hundredth of a dB; 0 where there are none."""
    counts = np.zeros(_LEVELS, np.int64)
    for part in _parts(activity):
        above = (part.vocals_db[part.vocals_db > rules.floor_db] - rules.floor_db) * _LEVELS_A_DB
        counts += np.bincount(np.minimum(above.astype(np.int64), _LEVELS - 1), minlength=_LEVELS)
    total = int(counts.sum())
    if not total:
        return 0.0
    level = int(np.searchsorted(np.cumsum(counts), total * rules.percentile / 100))
    return rules.floor_db + (level + 0.5) / _LEVELS_A_DB


def _parts(activity: Activities) -> Iterator[Activity]:
    """A film a few minutes at a time."""
    return (activity.between(start, start + _PART_HOPS) for start in range(0, len(activity), _PART_HOPS))


def _spans(masks: Iterable[Mask]) -> Iterator[Span]:
    """The runs of true values in masks that follow each other, as half-open spans."""
    position, opened = 0, None
    for mask in masks:
        edges = np.flatnonzero(np.diff(mask, prepend=opened is not None))
        for edge in edges.tolist():
            if opened is None:
                opened = position + edge
            else:
                yield opened, position + edge
                opened = None
        position += len(mask)
    if opened is not None:
        yield opened, position


def _touched(spans: Iterable[Span], others: Iterable[Span]) -> Iterator[tuple[Span, bool]]:
    """Each span, and whether one of the others has a part in it; both in order and without overlap."""
    rest = iter(others)
    other = next(rest, None)
    for start, stop in spans:
        while other is not None and other[1] <= start:
            other = next(rest, None)
        yield (start, stop), other is not None and other[0] < stop


def _padded(spans: Iterable[Span], hops: int, pad: Seconds) -> Iterator[Span]:
    extra = round(pad / HOP)
    return ((max(0, start - extra), min(hops, stop + extra)) for start, stop in spans)


def _joined(spans: Iterable[Span], gap: Seconds) -> Iterator[Span]:
    """Spans in order of their starts, joined where they overlap or no more than a gap is between them."""
    joined: Span | None = None
    for start, stop in spans:
        if joined is not None and (start - joined[1]) * HOP <= gap:
            joined = joined[0], max(joined[1], stop)
        else:
            if joined is not None:
                yield joined
            joined = start, stop
    if joined is not None:
        yield joined


def _cut(span: Span, activity: Activities, longest: Seconds) -> Iterator[Span]:
    """A span in pieces of at most `longest`, cut where the vocals are quietest in the second half of each piece."""
    start, stop = span
    limit = int(longest / HOP)
    while stop - start > limit:
        first, last = start + limit // 2, min(start + limit, stop - limit // 4)  # no slivers at the end either
        cut = first + int(np.argmin(_smoothed(activity.between(first, last).vocals_db)))
        yield start, cut
        start = cut
    yield start, stop


def _smoothed(level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Level over a third of a second, so that a cut falls into a pause and not between two sounds of a word."""
    width = min(len(level), 11)
    padded = np.pad(level, width // 2, mode="edge")
    smooth: npt.NDArray[np.float32] = np.convolve(padded, np.full(width, 1 / width, np.float32), mode="same")
    return smooth[width // 2 : width // 2 + len(level)]
