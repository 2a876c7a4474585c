"""A transcript as cues: what a viewer reads at one time. Pure arithmetic; nothing is read or written.

Where to cut is a shortest path over all cuts that keep every cue within its lines and its longest time, in the manner
of the paragraph breaking of Knuth and Plass (Breaking Paragraphs into Lines, 1981): a cue has a price, a break has a
price, the cheapest whole wins. When to show is `timing`, how to set in lines is `layout`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from stemscribe.subtitles.breaks import break_cost, ends_sentence, silence
from stemscribe.subtitles.layout import fitting, line_up, width
from stemscribe.subtitles.rules import MILLISECOND_RATE, CueRules, milliseconds
from stemscribe.subtitles.timing import Speech, schedule
from stemscribe.subtitles.tokens import Joint, Token, tokens_of
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.transcript import Transcript

DEFAULT_RULES = CueRules()

# Prices, on the scale of `breaks`. A sentence of its own is worth a cue (SENTENCE_INSIDE > CUE) unless it is over too
# soon (HASTE).
CUE = 2.0
SENTENCE_INSIDE = 3.0
SEGMENT_INSIDE = 2.0
SECOND_OF_SILENCE_INSIDE = 4.0
HASTE = 8.0
COMFORTABLE = 1500  # milliseconds before the next cue begins, at which haste ends


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`: one line or more, in the text's logical order."""

    start: Seconds
    end: Seconds
    lines: tuple[str, ...]


def cues_of(transcript: Transcript, rules: CueRules = DEFAULT_RULES) -> tuple[Cue, ...]:
    """The cues of a transcript, in order of time, on the transcript's own clock.

    Nothing of the text is lost but white space and control characters. `timing.schedule` says what holds for their
    times.

    >>> from stemscribe.transcript import Segment
    >>> cues_of(Transcript("en", (Segment(1.0, 1.2, " Yes.", "en"),)))
    (Cue(start=1.0, end=1.7, lines=('Yes.',)),)
    """
    tokens = tokens_of(transcript, rules.line_length)
    groups = [group for run in _runs(tokens, rules) for group in _cut(run, rules)]
    times = schedule([_speech(group) for group in groups], rules)
    return tuple(
        Cue(to_seconds(start, MILLISECOND_RATE), to_seconds(end, MILLISECOND_RATE), line_up(group, rules))
        for group, (start, end) in zip(groups, times, strict=True)
    )


def _speech(group: list[Token]) -> Speech:
    return Speech(group[0].start, max(token.end for token in group), width(group))


def _runs(tokens: list[Token], rules: CueRules) -> Iterator[list[Token]]:
    """The tokens between pauses that always end a cue, and between segments that talk over each other."""
    pause, overlap = milliseconds(rules.pause), milliseconds(rules.shortest)
    run: list[Token] = []
    for token in tokens:
        if run and (silence(run[-1], token) >= pause or run[-1].start - token.start > overlap):
            yield run
            run = []
        run.append(token)
    if run:
        yield run


def _cut(run: list[Token], rules: CueRules) -> list[list[Token]]:
    """The cheapest way to cut a run into cues."""
    best = [0.0] + [float("inf")] * len(run)
    opened = [0] * (len(run) + 1)
    prices = _Prices.of(run)
    for start in range(len(run)):
        for stop, cost in _candidates(run, start, prices, rules):
            if best[start] + cost < best[stop]:
                best[stop], opened[stop] = best[start] + cost, start
    cuts = [len(run)]
    while cuts[-1]:
        cuts.append(opened[cuts[-1]])
    return [run[start:stop] for start, stop in pairwise(reversed(cuts))]


@dataclass(frozen=True)
class _Prices:
    """What it costs to part, or not to part, each token of a run from the one after it; nothing for the last."""

    parted: list[float]
    together: list[float]

    @classmethod
    def of(cls, run: list[Token]) -> _Prices:
        neighbours = list(pairwise(run))
        parted = [break_cost(before, after) for before, after in neighbours]
        together = [_inside_cost(before, after) for before, after in neighbours]
        return cls([*parted, 0.0], [*together, 0.0])


def _candidates(run: list[Token], start: int, prices: _Prices, rules: CueRules) -> Iterator[tuple[int, float]]:
    """Every stop of a cue that begins at `start`, with the price of that cue and of the break after it."""
    longest = milliseconds(rules.longest)
    inside = 0.0
    for stop in fitting(run, start, rules):
        if stop > start + 1 and run[stop - 1].end - run[start].start > longest:
            return
        yield stop, CUE + inside + prices.parted[stop - 1] + _haste(run, start, stop)
        inside += prices.together[stop - 1]


def _inside_cost(before: Token, after: Token) -> float:
    """What it costs to show two neighbouring tokens in the same cue."""
    quiet = SECOND_OF_SILENCE_INSIDE * silence(before, after) / MILLISECOND_RATE
    if ends_sentence(before, after):
        return SENTENCE_INSIDE + quiet
    return quiet + SEGMENT_INSIDE * (after.joint is Joint.SEGMENT)


def _haste(run: list[Token], start: int, stop: int) -> float:
    """The price of how soon after a cue the next one follows."""
    if stop == len(run):
        return 0.0
    available = run[stop].start - run[start].start
    return HASTE * max(0, COMFORTABLE - available) / COMFORTABLE
