"""The changes that can be made to a transcript, and what comes of them.

A segment is known by a name that no change to another one touches: `3` is the fourth of the machine's own, `3/7` what
the eighth change cut off it, `+7` what that added. So a change can be taken back without a thought for the others
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from stemscribe.editing.words import words_of
from stemscribe.errors import UsageError
from stemscribe.timebase import LONGEST, Seconds
from stemscribe.transcript import Segment, Transcript

LONGEST_TEXT = 5_000  # letters of a segment
_Time = Annotated[Seconds, msgspec.Meta(ge=-LONGEST, le=LONGEST)]
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^(\d+|\+\d+)(/\d+)*$", max_length=200)]


class Rewrite(msgspec.Struct, frozen=True, tag="rewrite", tag_field="change", forbid_unknown_fields=True):
    """Another text."""

    segment: _Name
    text: _Text


class Split(msgspec.Struct, frozen=True, tag="split", tag_field="change", forbid_unknown_fields=True):
    """Two segments instead of one: the second begins with the letter `at` of the text."""

    segment: _Name
    at: int


class Merge(msgspec.Struct, frozen=True, tag="merge", tag_field="change", forbid_unknown_fields=True):
    """One segment instead of this and the next one."""

    segment: _Name


class Retime(msgspec.Struct, frozen=True, tag="retime", tag_field="change", forbid_unknown_fields=True):
    """Other times; words that lie outside of them are moved in."""

    segment: _Name
    start: _Time
    end: _Time


class Remove(msgspec.Struct, frozen=True, tag="remove", tag_field="change", forbid_unknown_fields=True):
    """No such segment."""

    segment: _Name


class Add(msgspec.Struct, frozen=True, tag="add", tag_field="change", forbid_unknown_fields=True):
    """A segment that the machine has not heard."""

    start: _Time
    end: _Time
    text: _Text


Change = Rewrite | Split | Merge | Retime | Remove | Add


@dataclass(frozen=True)
class Edited:
    """A segment as it is now.

    Attributes:
        name: what it is known by.
        is_edited: whether anybody has touched it.
    """

    name: str
    segment: Segment
    is_edited: bool = False


def edited(transcript: Transcript, changes: Sequence[Change]) -> list[Edited]:
    """The segments of a transcript after some changes, in order of time.

    Raises:
        UsageError: a change cannot be made; the message says which and why.
    """
    segments = [Edited(str(number), segment) for number, segment in enumerate(transcript.segments)]
    for number, change in enumerate(changes):
        _make(change, number, segments, transcript.language)
        segments.sort(key=lambda one: one.segment.start)  # stable: what begins at the same time keeps its order
    return segments


def with_changes(transcript: Transcript, changes: Sequence[Change]) -> Transcript:
    """The transcript after some changes.

    Raises:
        UsageError: a change cannot be made.
    """
    return replace(transcript, segments=tuple(one.segment for one in edited(transcript, changes)))


def _make(change: Change, number: int, segments: list[Edited], language: str) -> None:
    """Make one change to a list of segments."""
    if isinstance(change, Add):
        _check_times(change.start, change.end)
        added = Segment(change.start, change.end, _checked(change.text), language, reason="added by hand")
        segments.append(_touched(f"+{number}", replace(added, words=words_of(added, added.text))))
        return
    place = _place(change.segment, segments)
    name, segment = segments[place].name, segments[place].segment
    if isinstance(change, Remove):
        del segments[place]
    elif isinstance(change, Rewrite):
        text = _checked(change.text)
        segments[place] = _touched(name, replace(segment, text=text, words=words_of(segment, text)))
    elif isinstance(change, Split):
        first, second = _halves(segment, change.at)
        segments[place : place + 1] = [_touched(name, first), _touched(f"{name}/{number}", second)]
    elif isinstance(change, Merge):
        if place + 1 == len(segments):
            raise UsageError("There is no segment after this one.", hint="Merge the one before with it.")
        segments[place : place + 2] = [_touched(name, _joined(segment, segments[place + 1].segment))]
    else:
        _check_times(change.start, change.end)
        segments[place] = _touched(name, _retimed(segment, change.start, change.end))


def _touched(name: str, segment: Segment) -> Edited:
    """A segment that a person stands for now: the machine's doubts are settled."""
    return Edited(name, replace(segment, doubts=()), is_edited=True)


def _place(name: str, segments: Sequence[Edited]) -> int:
    for place, one in enumerate(segments):
        if one.name == name:
            return place
    raise UsageError(f"There is no segment {name} any more.", hint="Load the transcript again.")


def _checked(text: str) -> str:
    """A text as segments have it: on one line, and not empty."""
    text = " ".join(text.split())
    if not text:
        raise UsageError("A segment cannot be empty.", hint="Remove it instead.")
    return text


def _check_times(start: Seconds, end: Seconds) -> None:
    if not start < end:
        raise UsageError(
            f"A segment cannot last from {start:.3f} s to {end:.3f} s.", hint="Let it end after it begins."
        )


def _halves(segment: Segment, at: int) -> tuple[Segment, Segment]:
    """Both parts of a segment, each with its words."""
    texts = [" ".join(part.split()) for part in (segment.text[: max(at, 0)], segment.text[max(at, 0) :])]
    if not all(texts):
        raise UsageError("Nothing would be left of one half.", hint="Split between two words.")
    whole = words_of(segment, " ".join(texts))
    count = len(texts[0].split())
    first, second = whole[:count], whole[count:]
    return (
        replace(segment, end=max(segment.start, first[-1].end), text=texts[0], words=first),
        replace(segment, start=min(segment.end, second[0].start), text=texts[1], words=second),
    )


def _joined(first: Segment, second: Segment) -> Segment:
    return replace(
        first,
        end=max(first.end, second.end),
        text=f"{first.text.strip()} {second.text.strip()}",
        words=first.words + second.words,
    )


def _retimed(segment: Segment, start: Seconds, end: Seconds) -> Segment:
    def within(time: Seconds) -> Seconds:
        return min(max(time, start), end)

    words = tuple(replace(word, start=within(word.start), end=within(word.end)) for word in segment.words)
    return replace(segment, start=start, end=end, words=words)
