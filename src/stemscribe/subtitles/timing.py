"""When each cue appears and vanishes: never two at once, never too short to be read, whatever the words' times say.

Whole milliseconds, so that what is promised here is what stands in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from stemscribe.subtitles.rules import MILLISECOND_RATE, CueRules, milliseconds


@dataclass(frozen=True)
class Speech:
    """From when to when the words of a cue are spoken, in milliseconds, and how many characters there are to read."""

    start: int
    end: int
    characters: int


def schedule(spoken: list[Speech], rules: CueRules) -> list[tuple[int, int]]:
    """The start and end of each cue, in milliseconds.

    A cue begins with its first word, or later where the one before needs its shortest time; only where the end of the
    film's speech leaves no room, it begins earlier. It ends with its last word, or later where the silence after it
    allows.

    Returns:
        As many pairs as `spoken`, in its order, without overlap, within the first start and the last end +
        `rules.shortest`, each `rules.shortest` to `rules.longest` long. Only where the whole span is too short to
        give each cue `shortest` do all get an equal share at the least (and 1 ms, even if that exceeds the span).
    """
    if not spoken:
        return []
    span_end = max(speech.end for speech in spoken) + milliseconds(rules.shortest)
    room = (span_end - spoken[0].start) // len(spoken)
    shortest = max(1, min(milliseconds(rules.shortest), room))
    span_end = max(span_end, spoken[0].start + shortest * len(spoken))
    limits = [*_starts(spoken, shortest, span_end), span_end]
    return [
        (
            limits[index],
            _end(speech, limits[index], shortest, limits[index + 1], rules, is_last=index + 1 == len(spoken)),
        )
        for index, speech in enumerate(spoken)
    ]


def _starts(spoken: list[Speech], shortest: int, span_end: int) -> list[int]:
    """Starts at least `shortest` apart: pushed later first, then back, from the end, where they went too far."""
    starts: list[int] = []
    for speech in spoken:
        starts.append(max(speech.start, starts[-1] + shortest) if starts else speech.start)
    limit = span_end
    for index in reversed(range(len(starts))):
        limit = starts[index] = min(starts[index], limit - shortest)
    return starts


def _end(speech: Speech, start: int, shortest: int, limit: int, rules: CueRules, *, is_last: bool) -> int:
    """When a cue that began at `start` vanishes, `limit` being the start of the next one or the end of all."""
    reading = round(speech.characters * MILLISECOND_RATE / rules.reading_speed)
    end = max(speech.end, start + reading)
    closed = limit if is_last else limit - milliseconds(rules.gap)
    if end > closed or (not is_last and limit - end < milliseconds(rules.bridge)):
        end = closed
    return min(max(end, start + shortest), start + milliseconds(rules.longest))
