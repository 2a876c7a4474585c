"""From activity to regions: spans of at most 30 s in which speech recognition should listen.

A hop counts as voiced when the detector says so, or when the vocals are loud, both against their own level (a
percentile of it, so that one shout does not silence the rest) and against the mix (what separation leaves behind of
music alone is 20 dB or more below it). A line that is missed here is lost, and music that is let in is mostly
recognised as nothing: so when in doubt, in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscribe.speech.activity import HOP, Activity
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region

Mask = npt.NDArray[np.bool_]
Span = tuple[int, int]


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


def find_regions(activity: Activity, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where to listen: in order, without overlap, none longer than `rules.longest`."""
    speech = speech_hops(activity, rules)
    loud = loud_hops(activity, rules)
    spans = [span for span in _spans(_bridged(speech | loud, rules.bridge)) if _counts(span, speech, rules)]
    spans = _joined(_padded(spans, len(speech), rules.pad), rules.join)
    pieces = [piece for span in spans for piece in _cut(span, activity.vocals_db, rules.longest)]
    return tuple(Region(start * HOP, stop * HOP) for start, stop in pieces)


def find_speech(activity: Activity, rules: RegionRules = RegionRules()) -> tuple[Region, ...]:
    """Where the detector itself is sure of speech: the evidence that text is judged by."""
    return tuple(Region(start * HOP, stop * HOP) for start, stop in _spans(speech_hops(activity, rules)))


def speech_hops(activity: Activity, rules: RegionRules) -> Mask:
    """The hops in which the detector hears speech, with hysteresis."""
    possible = activity.speech >= rules.release
    sure = activity.speech >= rules.speech
    mask: Mask = np.zeros(len(possible), np.bool_)
    for start, stop in _spans(possible):
        mask[start:stop] = sure[start:stop].any()
    return mask


def loud_hops(activity: Activity, rules: RegionRules) -> Mask:
    """The hops in which the vocals are loud against their own usual level and against the mix."""
    level = activity.vocals_db
    audible = level > rules.floor_db
    usual = float(np.percentile(level[audible], rules.percentile)) if audible.any() else 0.0
    loud = level > usual - rules.below_usual_db
    heard = level > activity.mix_db - rules.below_mix_db
    return np.asarray(audible & loud & heard, dtype=np.bool_)


def _spans(mask: Mask) -> list[Span]:
    """The runs of true values, as half-open spans."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _bridged(mask: Mask, longest_gap: Seconds) -> Mask:
    bridged: Mask = mask.copy()
    for start, stop in _spans(~mask):
        inner = start > 0 and stop < len(mask)
        if inner and (stop - start) * HOP <= longest_gap:
            bridged[start:stop] = True
    return bridged


def _counts(span: Span, speech: Mask, rules: RegionRules) -> bool:
    start, stop = span
    return bool(speech[start:stop].any()) or (stop - start) * HOP >= rules.shortest


def _padded(spans: list[Span], hops: int, pad: Seconds) -> list[Span]:
    extra = round(pad / HOP)
    return [(max(0, start - extra), min(hops, stop + extra)) for start, stop in spans]


def _joined(spans: list[Span], gap: Seconds) -> list[Span]:
    joined: list[Span] = []
    for start, stop in spans:
        if joined and (start - joined[-1][1]) * HOP <= gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _cut(span: Span, vocals_db: npt.NDArray[np.float32], longest: Seconds) -> list[Span]:
    """A span in pieces of at most `longest`, cut where the vocals are quietest in the second half of each piece."""
    start, stop = span
    limit = int(longest / HOP)
    pieces: list[Span] = []
    while stop - start > limit:
        first, last = start + limit // 2, min(start + limit, stop - limit // 4)  # no slivers at the end either
        cut = first + int(np.argmin(_smoothed(vocals_db[first:last])))
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, stop)]


def _smoothed(level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Level over a third of a second, so that a cut falls into a pause and not between two sounds of a word."""
    width = min(len(level), 11)
    padded = np.pad(level, width // 2, mode="edge")
    smooth: npt.NDArray[np.float32] = np.convolve(padded, np.full(width, 1 / width, np.float32), mode="same")
    return smooth[width // 2 : width // 2 + len(level)]
