"""The ledger of a transcript: every second with vocal activity is accounted for, and every word without any is listed.

Each voiced span is *transcribed*, where words cover it; *not speech*, where there is evidence for that; or a *gap*,
where the detector is certain of speech and there is no word: somebody has to listen there. Nothing is believed to be
sung, shouted or laughter unless the recogniser wrote it down as just that. What the two sides, detector and recogniser,
say of time is loose, so that slivers are forgiven; half a second of a voice is not.

All of it passes by in order of time: held are the words of one voiced span, and of the minute in which segments may be
out of order.
"""

from __future__ import annotations

import heapq
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Annotated, Generic, Literal, Protocol, TypeVar

import msgspec

from stemscribe.speech.recognition import Dropped
from stemscribe.speech.regions import RegionRules, Voiced
from stemscribe.timebase import LONGEST, Seconds
from stemscribe.transcript import Clock, Segment, Word
from stemscribe.wording import counted

Kind = Literal["transcribed", "not_speech", "gap"]
What = Literal["", "no speech heard", "sung", "shouted", "laughter"]

# What a ledger.json may say: one that came with somebody else's job may have been edited.
_Time = Annotated[Seconds, msgspec.Meta(ge=-LONGEST, le=LONGEST)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_DISORDER: Seconds = 2 * RegionRules().longest  # regions are in order; within one, segments need not be
_BRACKETED = r"[\[(*（【][^\])*）】]*\b(?:{})"
_MARKS: tuple[tuple[What, re.Pattern[str]], ...] = (
    ("sung", re.compile(r"[♩♪♫♬]|" + _BRACKETED.format("sing|sung|humm|vocaliz"), re.IGNORECASE)),
    ("laughter", re.compile(_BRACKETED.format("laugh|chuckl|giggl|snicker"), re.IGNORECASE)),
    ("shouted", re.compile(_BRACKETED.format("shout|scream|yell|cheer"), re.IGNORECASE)),
)


@dataclass(frozen=True)
class LedgerRules:
    """How time is accounted for.

    Attributes:
        speech: probability from which the detector is certain,
        sure: unless the vocals are silent there; then from this on. It may have heard music, or separation lost a
            voice.
        silent_db: vocals that far below the mix are silent: nobody would hear a voice there.
        tolerance: a shorter stretch beside words is theirs. A detector lets go of a voice some 0.2 s late, silences
            between words of up to 0.4 s count as voiced, and Whisper's words begin and end up to 0.2 s off, often more.
        pause: so is one between two words of a segment. In the middle of what it says in one go, Whisper leaves out
            no line; but it is where its times are loosest.
        shortest: what is shorter is no word for the detector, so that it cannot be a missing one; this is what Silero
            VAD itself drops.
        loose: a word that is this near to a voice may belong to it.
    """

    speech: float = RegionRules.speech
    sure: float = 0.9
    silent_db: float = -30.0
    tolerance: Seconds = 0.5
    pause: Seconds = 0.8
    shortest: Seconds = 0.25
    loose: Seconds = 0.2

    def is_certain(self, piece: Voiced) -> bool:
        """Whether a piece of voiced time is speech."""
        return piece.speech >= (self.speech if piece.above_mix_db > self.silent_db else self.sure)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stretch of vocal activity, and what became of it.

    Attributes:
        what: of `not_speech`, what it is, as far as that is known.
        evidence: why that is believed, in words.
        speech: the detector's highest probability of speech thereabouts; of `not_speech`, but for what is too short
            to be a word.
        above_mix_db: how loud the vocals are there against the mix.
    """

    start: _Time
    end: _Time
    kind: Kind
    what: What
    evidence: str
    speech: float
    above_mix_db: float

    @property
    def duration(self) -> Seconds:
        return self.end - self.start

    def on_film_clock(self, offset: Seconds) -> Entry:
        """The same entry with the film's times, in whole milliseconds, where the mix begins at `offset`."""
        return replace(self, start=round(self.start + offset, 3), end=round(self.end + offset, 3))


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A word where nobody can be heard."""

    start: _Time
    end: _Time
    text: str

    def on_film_clock(self, offset: Seconds) -> Doubtful:
        """The same word with the film's times, in whole milliseconds, where the mix begins at `offset`."""
        return replace(self, start=round(self.start + offset, 3), end=round(self.end + offset, 3))


@dataclass(frozen=True)
class Ledger:
    """`ledger.json`.

    Attributes:
        coverage: the share of the voiced seconds that is transcribed or judged not to be speech; 1 without any.
        voiced_seconds: how long voices are heard; of that, the three that follow.
        transcribed_seconds: covered by words.
        not_speech_seconds: judged not to be speech.
        gap_seconds: speech without words.
        gaps: how many of them.
        doubtful_words: how many words where nobody can be heard.
        clock: what times count from.
        entries: all voiced time, in order.
        doubtful: these words, in order.
        version: of this form.
    """

    coverage: _Share = 1.0
    voiced_seconds: _Time = 0.0
    transcribed_seconds: _Time = 0.0
    not_speech_seconds: _Time = 0.0
    gap_seconds: _Time = 0.0
    gaps: _Count = 0
    doubtful_words: _Count = 0
    clock: Clock = "film"
    entries: tuple[Entry, ...] = ()
    doubtful: tuple[Doubtful, ...] = ()
    version: int = 1


def account(
    voiced: Iterable[Voiced],
    segments: Iterable[Segment],
    dropped: Iterable[Dropped],
    rules: LedgerRules = LedgerRules(),
) -> Iterator[Entry]:
    """What became of every voiced second, in order and without overlap: together, just the spans of `voiced`.

    Args:
        voiced: in order; pieces that meet are one span.
        segments: what is believed, no more than a minute out of order.
        dropped: what was heard and is not believed, no more than a minute out of order.
        rules: how time is accounted for.
    """
    words = _Window(_in_order(_words(segments)))
    unbelieved = _Window(_in_order(map(_Unbelieved.of, dropped)))
    for pieces in _spans(voiced):
        start, end = pieces[0].start, pieces[-1].end
        beside = words.during(start - rules.loose, end + rules.loose)
        yield from _accounted(pieces, beside, unbelieved.during(start, end), rules)


def doubtful_words(
    voiced: Iterable[Voiced], segments: Iterable[Segment], rules: LedgerRules = LedgerRules()
) -> Iterator[Doubtful]:
    """The words that have no voice beneath them, in order; `voiced` and `segments` as for `account`."""
    voices = _Window(iter(voiced))
    for word in _in_order(_words(segments)):
        if not voices.during(word.start - rules.loose, word.end + rules.loose):
            yield Doubtful(word.start, word.end, word.text.strip())


def totals(entries: Iterable[Entry], doubtful: Iterable[Doubtful]) -> Ledger:
    """The ledger with all but its two lists."""
    seconds: dict[Kind, Seconds] = {"transcribed": 0.0, "not_speech": 0.0, "gap": 0.0}
    gaps = 0
    for entry in entries:
        seconds[entry.kind] += entry.duration
        gaps += entry.kind == "gap"
    voiced = sum(seconds.values())
    return Ledger(
        coverage=round(1.0 - seconds["gap"] / voiced, 6) if voiced else 1.0,
        voiced_seconds=round(voiced, 3),
        transcribed_seconds=round(seconds["transcribed"], 3),
        not_speech_seconds=round(seconds["not_speech"], 3),
        gap_seconds=round(seconds["gap"], 3),
        gaps=gaps,
        doubtful_words=sum(1 for _ in doubtful),
    )


class _Timed(Protocol):
    @property
    def start(self) -> Seconds: ...

    @property
    def end(self) -> Seconds: ...


Timed = TypeVar("Timed", bound=_Timed)


@dataclass(frozen=True, slots=True)
class _Unbelieved:
    """A text that was dropped, and what it says that it is."""

    start: Seconds
    end: Seconds
    text: str
    reason: str
    what: What

    @classmethod
    def of(cls, dropped: Dropped) -> _Unbelieved:
        segment, text = dropped.segment, dropped.segment.text.strip()
        marks: list[What] = [what for what, mark in _MARKS if mark.search(text)]
        return cls(segment.start, max(segment.start, segment.end), text, dropped.reason, marks[0] if marks else "")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a stretch without words, and what it is: empty for certain speech."""

    start: Seconds
    end: Seconds
    what: What

    @property
    def duration(self) -> Seconds:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A word, and the number of its segment."""

    start: Seconds
    end: Seconds
    text: str
    segment: int


class _Window(Generic[Timed]):
    """What of a row of things in order of their starts is going on during spans that move forward."""

    def __init__(self, things: Iterator[Timed]) -> None:
        self._things, self._held = things, deque[Timed]()
        self._next = next(things, None)

    def during(self, start: Seconds, end: Seconds) -> list[Timed]:
        """The things that overlap or touch a span, which begins no earlier than the one before it."""
        while self._next is not None and self._next.start <= end:
            self._held.append(self._next)
            self._next = next(self._things, None)
        self._held = deque(thing for thing in self._held if thing.end >= start)
        return [thing for thing in self._held if thing.start <= end]


def _words(segments: Iterable[Segment]) -> Iterator[_Spoken]:
    """All words; a segment without them is one. None ends before it begins."""
    for number, segment in enumerate(segments):
        for word in segment.words or (Word(segment.start, segment.end, segment.text, 1.0),):
            yield _Spoken(word.start, max(word.start, word.end), word.text, number)


def _in_order(things: Iterable[Timed]) -> Iterator[Timed]:
    """Things in order of their starts, of which none starts more than a minute before one that came earlier."""
    waiting: list[tuple[Seconds, int, Timed]] = []
    latest = float("-inf")
    for index, thing in enumerate(things):
        heapq.heappush(waiting, (thing.start, index, thing))
        latest = max(latest, thing.start)
        while waiting[0][0] < latest - _DISORDER:
            yield heapq.heappop(waiting)[-1]
    while waiting:
        yield heapq.heappop(waiting)[-1]


def _spans(voiced: Iterable[Voiced]) -> Iterator[list[Voiced]]:
    """The pieces of each span: those that meet."""
    pieces: list[Voiced] = []
    for piece in voiced:
        if pieces and piece.start > pieces[-1].end:
            yield pieces
            pieces = []
        pieces.append(piece)
    if pieces:
        yield pieces


def _accounted(
    pieces: Sequence[Voiced], words: Sequence[_Spoken], unbelieved: Sequence[_Unbelieved], rules: LedgerRules
) -> Iterator[Entry]:
    """The entries of one voiced span."""
    start, end = pieces[0].start, pieces[-1].end
    position = start
    for silent_from, silent_to, allowed in _wordless(start, end, words, rules):
        if silent_to - silent_from < allowed:
            continue
        if position < silent_from:
            yield _transcribed(position, silent_from, pieces, words)
        for part in _judged(silent_from, silent_to, pieces, unbelieved, rules):
            yield _without_words(part, pieces, unbelieved, rules)
        position = silent_to
    if position < end:
        yield _transcribed(position, end, pieces, words)


def _wordless(
    start: Seconds, end: Seconds, words: Sequence[_Spoken], rules: LedgerRules
) -> Iterator[tuple[Seconds, Seconds, Seconds]]:
    """The stretches of a span that no word covers, each with how short it must be to belong to the words beside it."""
    position, last = start, -1
    for word in words:
        if position < min(word.start, end):
            yield position, min(word.start, end), rules.pause if word.segment == last else rules.tolerance
        if word.end >= position:
            position, last = word.end, word.segment
    if position < end:
        yield position, end, rules.tolerance if words else 0.0


def _judged(
    start: Seconds, end: Seconds, pieces: Sequence[Voiced], unbelieved: Sequence[_Unbelieved], rules: LedgerRules
) -> list[_Part]:
    """A stretch without words, part by part.

    What is too short to hold a word goes with what is beside it: first into the gaps, so that no line is lost between
    two of them. Then a gap that has less certain speech in it than a word takes is none: the tail of a word, or a
    click.
    """
    marked = [text for text in unbelieved if text.what]
    rims = [(thing.start, thing.end) for thing in pieces] + [(text.start, text.end) for text in marked]
    edges = {edge for rim in rims for edge in rim if start < edge < end}
    parts = [
        _Part(first, last, _what((first + last) / 2, pieces, marked, rules))
        for first, last in pairwise([start, *sorted(edges), end])
    ]
    parts = _merged(parts)
    grown = _merged(
        replace(part, what="") if _is_beside_a_gap(parts, index, rules) else part for index, part in enumerate(parts)
    )
    certain = [part for part in parts if not part.what]
    other: What = next((part.what for part in parts if part.what), "no speech heard")
    return _merged(
        replace(part, what=other) if not part.what and _seconds_of(certain, part) < rules.shortest else part
        for part in grown
    )


def _seconds_of(parts: Iterable[_Part], within: _Part) -> Seconds:
    return sum(part.duration for part in parts if within.start <= part.start < within.end)


def _is_beside_a_gap(parts: Sequence[_Part], index: int, rules: LedgerRules) -> bool:
    beside = [*parts[max(0, index - 1) : index], *parts[index + 1 : index + 2]]
    return parts[index].duration < rules.tolerance and any(not part.what for part in beside)


def _what(time: Seconds, pieces: Iterable[Voiced], marked: Iterable[_Unbelieved], rules: LedgerRules) -> What:
    """What there is at a point of time where there are no words."""
    for text in marked:
        if text.start <= time < text.end:
            return text.what
    is_certain = any(piece.start <= time < piece.end and rules.is_certain(piece) for piece in pieces)
    return "" if is_certain else "no speech heard"


def _merged(parts: Iterable[_Part]) -> list[_Part]:
    """Neighbours that are the same as one."""
    groups = (list(group) for _, group in groupby(parts, key=lambda part: part.what))
    return [_Part(group[0].start, group[-1].end, group[0].what) for group in groups]


def _transcribed(start: Seconds, end: Seconds, pieces: Sequence[Voiced], words: Iterable[_Spoken]) -> Entry:
    count = sum(1 for word in words if word.start <= end and word.end >= start)
    evidence = counted(count, "word") if count else "so short that it belongs to the word beside it"
    return _entry(start, end, "transcribed", "", evidence, pieces)


def _without_words(
    part: _Part, pieces: Sequence[Voiced], unbelieved: Iterable[_Unbelieved], rules: LedgerRules
) -> Entry:
    start, end = part.start, part.end
    entry = _entry(start, end, "not_speech" if part.what else "gap", part.what, "", pieces)
    told = [f"probability of speech up to {entry.speech:.2f}"]
    others = [piece for piece in _beneath(start, end, pieces) if not rules.is_certain(piece)]
    if part.what and others:
        entry = replace(entry, speech=max(piece.speech for piece in others))
        brief = end - start - sum(min(piece.end, end) - max(piece.start, start) for piece in others)
        told = [
            f"probability of speech at most {entry.speech:.2f}" + (f", but for {brief:.2f} s" if brief >= 0.01 else "")
        ]
    if entry.above_mix_db <= rules.silent_db:
        told.append("the vocals are silent")
    heard = [text for text in unbelieved if text.start < end and text.end > start]
    told += [f"“{text.text}” was heard, and dropped: {text.reason}" for text in heard] or ["nothing was heard"]
    return replace(entry, evidence="; ".join(told))


def _entry(start: Seconds, end: Seconds, kind: Kind, what: What, evidence: str, pieces: Sequence[Voiced]) -> Entry:
    beneath = _beneath(start, end, pieces)
    most = max(beneath, key=lambda piece: min(piece.end, end) - max(piece.start, start))
    return Entry(start, end, kind, what, evidence, max(piece.speech for piece in beneath), most.above_mix_db)


def _beneath(start: Seconds, end: Seconds, pieces: Iterable[Voiced]) -> list[Voiced]:
    return [piece for piece in pieces if piece.start < end and piece.end > start]
