"""When each cue appears and vanishes: never two at once, never too short to be read, whatever the words' times say.

Whole milliseconds, so that what is promised here is what stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stemscribe.subtitles.rules import MILLISECOND_RATE, CueRules, milliseconds


@dataclass(frozen=True)
class Speech:
    """From when to when the words of a cue are spoken, in milliseconds, and how many characters there are to read."""

    start: int
    end: int
    characters: int


@dataclass
class Extent:
    """What must be known of all speech before the first cue can be timed.

    Attributes:
        cues: how many there are.
        start: of the first one.
        end: the latest of all.
    """

    cues: int = 0
    start: int = 0
    end: int = 0

    def add(self, speech: Speech) -> None:
        """Count a cue in."""
        if not self.cues:
            self.start = speech.start
        self.cues += 1
        self.end = max(self.end, speech.end)


def schedule(spoken: list[Speech], rules: CueRules) -> list[tuple[int, int]]:
    """What `scheduled` gives, of cues that are all there."""
    extent = Extent()
    for speech in spoken:
        extent.add(speech)
    return list(scheduled(spoken, extent, rules))


def scheduled(spoken: Iterable[Speech], extent: Extent, rules: CueRules) -> Iterator[tuple[int, int]]:
    """The start and end of each cue, in milliseconds.

    A cue begins with its first word, or later where the one before needs its shortest time; only where the end of the
    film's speech leaves no room, it begins earlier. It ends with its last word, or later where the silence after it
    allows.

    Args:
        spoken: the cues, one at a time.
        extent: of all of them.
        rules: what a cue may be.

    Yields:
        As many pairs as `spoken`, in its order, without overlap, within the first start and the last end +
        `rules.shortest`, each `rules.shortest` to `rules.longest` long; the last one stays until it can be read. Only
        where the whole span is too short to give each cue `shortest` do all get an equal share at the least (and 1
        ms, even if that exceeds the span).
    """
    shortest = milliseconds(rules.shortest)
    shortest = max(1, min(shortest, (extent.end + shortest - extent.start) // max(1, extent.cues)))
    span_end = max(extent.end + milliseconds(rules.shortest), extent.start + shortest * extent.cues)
    held: tuple[Speech, int] | None = None
    for speech, start in _starts(spoken, shortest, span_end - shortest * extent.cues):
        if held is not None:
            yield held[1], _end(*held, shortest, start, rules, is_last=False)
        held = speech, start
    if held is not None:
        readable = held[1] + _reading(held[0], rules) if shortest == milliseconds(rules.shortest) else 0
        yield held[1], _end(*held, shortest, max(span_end, readable), rules, is_last=True)


def _starts(spoken: Iterable[Speech], shortest: int, latest: int) -> Iterator[tuple[Speech, int]]:
    """Starts at least `shortest` apart: pushed later where they must be, but none later than leaves room for the rest.

    `latest` is the last moment at which the first cue may begin, the next one `shortest` later, and so on.
    """
    earliest: int | None = None
    for speech in spoken:
        earliest = speech.start if earliest is None else max(speech.start, earliest)
        yield speech, min(earliest, latest)
        earliest, latest = earliest + shortest, latest + shortest


def _end(speech: Speech, start: int, shortest: int, limit: int, rules: CueRules, *, is_last: bool) -> int:
    """When a cue that began at `start` vanishes, `limit` being the start of the next one or the end of all."""
    end = max(speech.end, start + _reading(speech, rules))
    closed = limit if is_last else limit - milliseconds(rules.gap)
    if end > closed or (not is_last and limit - end < milliseconds(rules.bridge)):
        end = closed
    return min(max(end, start + shortest), start + milliseconds(rules.longest))


def _reading(speech: Speech, rules: CueRules) -> int:
    """How many milliseconds a cue takes to read."""
    return round(speech.characters * MILLISECOND_RATE / rules.reading_speed)
