"""From activity to regions: spans of at most 30 s in which speech recognition should listen.

A hop counts as voiced when the detector says so, or when the vocals are loud, both against their own level (a
percentile of it in the minutes around, so that neither one shout nor a loud song elsewhere in the film silences the
rest) and against the mix (what separation leaves behind of music alone is 20 dB or more below it). A line that is
missed here is lost, and music that is let in is mostly recognised as nothing: so when in doubt, in. All of it goes over
the film a few minutes at a time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.speech.activity import HOP, Activities, Activity
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Span = tuple[int, int]

_PART_HOPS = 1 << 13  # four minutes
_BLOCK_HOPS = 1 << 10  # 33 s: for so long the usual level is taken to be the same
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
        around: how much of the film before and after is asked for that.
        quieter_db: how far the usual loudness around may be below that of the whole film; in minutes without any voice
            it would else be that of the hiss.
        below_usual_db: how far below the usual loudness vocals still count as loud.
        below_mix_db: how far below the mix vocals still count as heard.
        bridge: silences up to this are part of a span.
        shortest: spans of energy alone below this are clicks.
        pad: added at both ends.
        join: regions closer than this are heard together, for the sake of context.
        longest: of a region; what Whisper hears at once.
        pause: where nobody can be heard for so long, a region that is too long may be cut.
    """

    speech: float = 0.5
    release: float = 0.35
    floor_db: float = -60.0
    percentile: float = 90.0
    around: Seconds = 150.0
    quieter_db: float = 15.0
    below_usual_db: float = 20.0
    below_mix_db: float = 12.0
    bridge: Seconds = 0.4
    shortest: Seconds = 0.4
    pad: Seconds = 0.6
    join: Seconds = 1.5
    longest: Seconds = 30.0
    pause: Seconds = 0.3


@dataclass(frozen=True, slots=True)
class Voiced(Region):
    """A span with vocal activity, all of it of one kind: speech for certain, or energy of the vocals alone.

    Attributes:
        speech: the highest probability of speech in it; below `RegionRules.speech` where only energy tells of a voice.
        above_mix_db: level of the vocals against that of the mix.
    """

    speech: float = 0.0
    above_mix_db: float = 0.0


def find_regions(activity: Activities, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where to listen: in order, without overlap, none longer than `rules.longest`."""
    levels = usual_levels(activity, rules)
    together = _joined(_padded(_counted(activity, levels, rules), len(activity), rules.pad), rules.join)
    pieces = (piece for span in together for piece in _cut(span, activity, levels, rules))
    return tuple(Region(start * HOP, stop * HOP) for start, stop in pieces)


def find_voices(activity: Activities, rules: RegionRules = RegionRules()) -> Iterator[Voiced]:
    """The vocal activity itself: what regions are made of, without room around it; in order and without overlap.

    A span in which the detector is sure of speech only here or there comes in several pieces, which meet.
    """
    spans = _counted(activity, usual_levels(activity, rules), rules)
    for start, stop in _parted(spans, _joined(_speech(activity, rules), rules.bridge)):
        yield _measured(activity, start, stop)


def find_speech(activity: Activities, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where the detector itself is sure of speech: the evidence that text is judged by."""
    return tuple(Region(start * HOP, stop * HOP) for start, stop in _speech(activity, rules))


def _speech(activity: Activities, rules: RegionRules) -> Iterator[Span]:
    """Where the detector hears speech, with hysteresis: where it may be, if somewhere within that it surely is."""
    possible = _spans(part.speech >= rules.release for part in _parts(activity))
    sure = _spans(part.speech >= rules.speech for part in _parts(activity))
    return (span for span, is_sure in _touched(possible, sure) if is_sure)


def _counted(activity: Activities, levels: Array, rules: RegionRules) -> Iterator[Span]:
    """The spans with voices, over the silences between words, without what is but a click."""
    voiced = heapq.merge(_speech(activity, rules), _loud(activity, levels, rules))
    for (start, stop), is_speech in _touched(_joined(voiced, rules.bridge), _speech(activity, rules)):
        if is_speech or (stop - start) * HOP >= rules.shortest:
            yield start, stop


def _loud(activity: Activities, levels: Array, rules: RegionRules) -> Iterator[Span]:
    """Where the vocals are loud against their own usual level and against the mix."""
    starts = range(0, len(activity), _PART_HOPS)
    return _spans(_is_loud(activity.between(start, start + _PART_HOPS), start, levels, rules) for start in starts)


def _is_loud(part: Activity, start: int, levels: Array, rules: RegionRules) -> Mask:
    """Of each hop of a part that begins with the hop `start`, whether the vocals are loud."""
    usual = levels[(start + np.arange(len(part))) // _BLOCK_HOPS]
    quietest = np.maximum(rules.floor_db, usual - rules.below_usual_db)
    loud: Mask = (part.vocals_db > quietest) & (part.vocals_db > part.mix_db - rules.below_mix_db)
    return loud


def usual_levels(activity: Activities, rules: RegionRules) -> Array:
    """How loud vocals usually are in each half minute of the film and around it, `[blocks]`.

    Of a film of ten hours that is a thousand numbers; the counts that they come from are kept for the minutes around.
    """
    starts = range(0, len(activity), _BLOCK_HOPS)
    side = round(rules.around / HOP / _BLOCK_HOPS)
    film = np.zeros(_LEVELS, np.int64)
    around, window = np.zeros(_LEVELS, np.int64), deque([np.zeros(_LEVELS, np.int64)] * (2 * side + 1))
    found: list[float] = []
    for index in range(len(starts) + side):
        counts = np.zeros(_LEVELS, np.int64)
        if index < len(starts):
            counts = _counts(activity.between(starts[index], starts[index] + _BLOCK_HOPS), rules)
            film += counts
        around += counts - window.popleft()
        window.append(counts)
        if index >= side:
            found.append(_percentile(around, rules))
    levels: Array = np.maximum(np.array(found, np.float32), np.float32(_percentile(film, rules) - rules.quieter_db))
    return levels


def usual_level(activity: Activities, rules: RegionRules) -> float:
    """The percentile of the level of vocals above the floor, to a hundredth of a dB; 0 where there are none."""
    counts = np.zeros(_LEVELS, np.int64)
    for part in _parts(activity):
        counts += _counts(part, rules)
    return _percentile(counts, rules)


def _counts(part: Activity, rules: RegionRules) -> Counts:
    """How many hops have which level, of those in which the vocals are above the floor, `[levels]`."""
    above = (part.vocals_db[part.vocals_db > rules.floor_db] - rules.floor_db) * _LEVELS_A_DB
    return np.bincount(np.minimum(above.astype(np.int64), _LEVELS - 1), minlength=_LEVELS).astype(np.int64)


def _percentile(counts: Counts, rules: RegionRules) -> float:
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


def _parted(spans: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """Spans cut where one of the others begins or ends; both in order and without overlap."""
    rest = iter(others)
    other = next(rest, None)
    for start, stop in spans:
        while start < stop:
            while other is not None and other[1] <= start:
                other = next(rest, None)
            edges = (edge for edge in other or () if start < edge < stop)
            end = next(edges, stop)
            yield start, end
            start = end


def _measured(activity: Activities, start: int, stop: int) -> Voiced:
    """A span with what is known of it; of a long one, only a few minutes are held at a time."""
    speech, powers = 0.0, np.zeros(2)
    for first in range(start, stop, _PART_HOPS):
        part = activity.between(first, min(first + _PART_HOPS, stop))
        speech = max(speech, float(part.speech.max()))
        powers += [np.sum(10 ** (level.astype(np.float64) / 10)) for level in (part.vocals_db, part.mix_db)]
    above = 10 * np.log10(powers[0] / powers[1])
    return Voiced(start * HOP, stop * HOP, round(speech, 3), round(float(above), 1))


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


def _cut(span: Span, activity: Activities, levels: Array, rules: RegionRules) -> Iterator[Span]:
    """A span in pieces of at most `rules.longest`, each cut in its second half.

    That is in the middle of the longest pause, where there is any; else where the vocals are quietest, which may be
    within a word.
    """
    start, stop = span
    limit = int(rules.longest / HOP)
    while stop - start > limit:
        first, last = start + limit // 2, min(start + limit, stop - limit // 4)  # no slivers at the end either
        part = activity.between(first, last)
        silent = ~(_is_loud(part, first, levels, rules) | (part.speech >= rules.release))
        begin, end = max(_spans([silent]), key=lambda pause: pause[1] - pause[0], default=(0, 0))
        is_pause = (end - begin) * HOP >= rules.pause
        cut = first + ((begin + end) // 2 if is_pause else int(np.argmin(_smoothed(part.vocals_db))))
        yield start, cut
        start = cut
    yield start, stop


def _smoothed(level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Level over a third of a second, so that a cut falls into a pause and not between two sounds of a word."""
    width = min(len(level), 11)
    padded = np.pad(level, width // 2, mode="edge")
    smooth: npt.NDArray[np.float32] = np.convolve(padded, np.full(width, 1 / width, np.float32), mode="same")
    return smooth[width // 2 : width // 2 + len(level)]
