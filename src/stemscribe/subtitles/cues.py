"""A transcript as cues: what a viewer reads at one time. Pure arithmetic; nothing is read or written.

Where to cut is a shortest path over all cuts that keep every cue within its lines and its longest time, in the manner
of the paragraph breaking of Knuth and Plass (Breaking Paragraphs into Lines, 1981): a cue has a price, a break has a
price, the cheapest whole wins. It is found a few minutes at a time, since the ways to go on soon share their beginning
(the survivors of a Viterbi decoder): the cues are those of the whole. When to show is `timing`, how to set in lines
is `layout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, tee

from stemscribe.subtitles.breaks import break_cost, ends_sentence, silence
from stemscribe.subtitles.layout import fitting, line_up, width
from stemscribe.subtitles.rules import MILLISECOND_RATE, CueRules, milliseconds
from stemscribe.subtitles.timing import Extent, Speech, scheduled
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

_ENOUGH = 500  # tokens: a few minutes, within which the ways to cut them meet in one
_MOST = 2000  # tokens: where they have not met, there is no rhythm at all, and one way is as good as another


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`: one line or more, in the text's logical order."""

    start: Seconds
    end: Seconds
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """A cue that is not timed yet."""

    speech: Speech
    lines: tuple[str, ...]


def cues_of(transcript: Transcript, rules: CueRules = DEFAULT_RULES) -> tuple[Cue, ...]:
    """The cues of a transcript, in order of time, on the transcript's own clock.

    Nothing of the text is lost but white space and control characters. `timing.schedule` says what holds for their
    times.

    >>> from stemscribe.transcript import Segment
    >>> cues_of(Transcript("en", (Segment(1.0, 1.2, " Yes.", "en"),)))
    (Cue(start=1.0, end=1.7, lines=('Yes.',)),)
    """
    found = list(drafts(tokens_of(transcript, rules.line_length), rules))
    extent = Extent()
    for draft in found:
        extent.add(draft.speech)
    return tuple(timed(found, extent, rules))


def drafts(tokens: Iterable[Token], rules: CueRules = DEFAULT_RULES) -> Iterator[Draft]:
    """The cues of tokens that come one at a time, before they are timed; a moment of the film is held."""
    for group in _groups(tokens, rules):
        speech = Speech(group[0].start, max(token.end for token in group), width(group))
        yield Draft(speech, line_up(group, rules))


def timed(found: Iterable[Draft], extent: Extent, rules: CueRules = DEFAULT_RULES) -> Iterator[Cue]:
    """The cues of drafts that come one at a time.

    Args:
        found: the drafts of the whole film.
        extent: of all their speech.
        rules: what a cue may be.
    """
    found, ahead = tee(found)
    times = scheduled((draft.speech for draft in ahead), extent, rules)
    for draft, (start, end) in zip(found, times, strict=True):
        yield Cue(to_seconds(start, MILLISECOND_RATE), to_seconds(end, MILLISECOND_RATE), draft.lines)


def _groups(tokens: Iterable[Token], rules: CueRules) -> Iterator[list[Token]]:
    """The tokens of each cue."""
    pause, overlap = milliseconds(rules.pause), milliseconds(rules.shortest)
    run: list[Token] = []
    spent, limit = 0.0, _ENOUGH
    for token in tokens:
        if run and (silence(run[-1], token) >= pause or run[-1].start - token.start > overlap):
            # A pause that always ends a cue, or segments that talk over each other.
            yield from _Cut(run, rules, spent).all_of_it()
            run, spent, limit = [], 0.0, _ENOUGH
        run.append(token)
        if len(run) >= limit:
            cut = _Cut(run, rules, spent, goes_on=True)
            settled = cut.settled or (cut.cheapest if len(run) >= _MOST else 0)
            yield from cut.up_to(settled)
            run, spent, limit = run[settled:], cut.best[settled], max(_ENOUGH, 2 * (len(run) - settled))
    if run:
        yield from _Cut(run, rules, spent).all_of_it()


class _Cut:
    """The cheapest ways to cut the tokens of a run into cues.

    Args:
        run: what is said without a pause.
        rules: what a cue may be.
        spent: what the cues of this run before these tokens cost; carried on, so that sums come out the same to the
            last bit, wherever a run was parted.
        goes_on: whether more tokens will follow; then only cues count that end before the last of these.

    Attributes:
        best: what the cheapest way to each cut costs.
    """

    def __init__(self, run: list[Token], rules: CueRules, spent: float, *, goes_on: bool = False) -> None:
        self._run = run
        self.best = [spent] + [float("inf")] * len(run)
        self._opened = [0] * (len(run) + 1)
        self._reached = len(run)
        prices = _Prices.of(run)
        for start in range(len(run)):
            cues = list(_candidates(run, start, prices, rules))
            if goes_on and cues[-1][0] == len(run):
                self._reached = start
                break
            for stop, cost in cues:
                if self.best[start] + cost < self.best[stop]:
                    self.best[stop], self._opened[stop] = self.best[start] + cost, start

    def all_of_it(self) -> Iterator[list[Token]]:
        """The cues of the whole run."""
        return self.up_to(len(self._run))

    def up_to(self, stop: int) -> Iterator[list[Token]]:
        """The cues before a cut."""
        cuts = [stop]
        while cuts[-1]:
            cuts.append(self._opened[cuts[-1]])
        return (self._run[first:last] for first, last in pairwise(reversed(cuts)))

    @property
    def settled(self) -> int:
        """The last cut that will be made whatever follows: where the cheapest ways to all later ones have parted."""
        ways = set(self._ways)
        while len(ways) > 1:
            latest = max(ways)
            ways.remove(latest)
            ways.add(self._opened[latest])
        return ways.pop()

    @property
    def cheapest(self) -> int:
        """The cut to which the cheapest way leads, of those from which all others go on."""
        return min(self._ways, key=lambda stop: self.best[stop])

    @property
    def _ways(self) -> list[int]:
        """The cuts of which one will be made, whatever follows."""
        return [stop for stop in range(self._reached, len(self.best)) if self.best[stop] < float("inf")]


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
