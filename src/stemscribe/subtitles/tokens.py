"""A transcript as one row of small timed pieces of text: what cues, lines and paragraphs are put together from.

Recognisers are untidy: words without any duration, words that run backwards, text without word times, a matra in a
"word" of its own. All of that ends here. A token cannot be broken further, is never wider than a line, and within a
segment starts no earlier than the one before it.
"""

from __future__ import annotations

import enum
import heapq
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from stemscribe.subtitles.display import belongs, cells, cleaned, unbroken
from stemscribe.subtitles.rules import milliseconds
from stemscribe.timebase import Seconds
from stemscribe.transcript import Segment, Transcript


class Joint(enum.Enum):
    """How a token hangs on the one before it."""

    SEGMENT = enum.auto()  # it opens a segment, or stands first
    SPACE = enum.auto()
    WORD = enum.auto()  # no white space, but for the recogniser a word begins here
    INSIDE = enum.auto()  # in the middle of a word


@dataclass(frozen=True)
class Token:
    """A piece of text that stays together, and when it is spoken, in whole milliseconds."""

    text: str
    start: int
    end: int
    joint: Joint
    language: str = ""

    @cached_property
    def cells(self) -> int:
        return cells(self.text)

    @cached_property
    def space(self) -> int:
        """The cells of white space before it, when it does not begin a line."""
        return int(self.joint in (Joint.SEGMENT, Joint.SPACE))


@dataclass(frozen=True)
class _Span:
    """A text and its time in seconds, as the recogniser gave them, cleaned."""

    text: str
    start: Seconds
    end: Seconds


def tokens_of(transcript: Transcript, room: int) -> list[Token]:
    """All that was said, segment after segment in order of their first tokens, in tokens of at most `room` cells."""
    return list(stream(transcript.segments, room, sys.maxsize))


def stream(segments: Iterable[Segment], room: int, disorder: int) -> Iterator[Token]:
    """What `tokens_of` gives, of segments that come one at a time.

    Args:
        segments: in any order in which none begins more than `disorder` milliseconds before one that came earlier.
        room: in cells; no token is wider.
        disorder: in milliseconds; so much of the film is held.
    """
    waiting: list[tuple[int, int, list[Token]]] = []
    latest = 0
    for index, segment in enumerate(segments):
        if tokens := list(_segment_tokens(segment, room)):
            heapq.heappush(waiting, (tokens[0].start, index, tokens))
            latest = max(latest, tokens[0].start)
        while waiting and waiting[0][0] < latest - disorder:
            yield from heapq.heappop(waiting)[-1]
    while waiting:
        yield from heapq.heappop(waiting)[-1]


def joined(tokens: Iterable[Token]) -> str:
    """The text of a few tokens on one line."""
    return "".join(" " * token.space + token.text for token in tokens).strip(" ")


def _spans(segment: Segment) -> list[_Span]:
    """The words of a segment, or the segment itself where there are none."""
    words = [_Span(cleaned(word.text), word.start, word.end) for word in segment.words]
    if any(word.text.strip() for word in words):
        return words
    return [_Span(cleaned(segment.text), segment.start, segment.end)]


def _segment_tokens(segment: Segment, room: int) -> Iterator[Token]:
    pieces = _in_order(_whole(_pieces(_spans(segment), segment.language)))
    for first, piece in enumerate(pieces):
        parts = unbroken(piece.text, room)
        whole, done = max(1, sum(map(cells, parts))), 0
        for index, text in enumerate(parts):
            start, done = done, done + cells(text)
            joint = Joint.INSIDE if index else piece.joint if first else Joint.SEGMENT
            yield Token(text, _between(piece, start / whole), _between(piece, done / whole), joint, segment.language)


def _between(piece: Token, share: float) -> int:
    return piece.start + round(share * (piece.end - piece.start))


def _pieces(spans: list[_Span], language: str) -> Iterator[Token]:
    """The spans cut at white space; where one span holds several pieces, its time is shared out by their cells."""
    joint = Joint.SEGMENT
    for span in spans:
        margin = len(span.text) - len(span.text.lstrip(" "))
        whole, duration = max(1, cells(span.text.strip(" "))), max(0.0, span.end - span.start)
        for match in re.finditer("[^ ]+", span.text):
            shares = (cells(span.text[margin:edge]) / whole for edge in match.span())
            begins, ends = (milliseconds(span.start + duration * share) for share in shares)
            yield Token(match.group(), begins, ends, Joint.SPACE if match.start() else joint, language)
        joint = Joint.SPACE if span.text.endswith(" ") or (not span.text and joint is Joint.SPACE) else Joint.WORD


def _whole(pieces: Iterable[Token]) -> Iterator[Token]:
    """The same pieces, where none begins with a mark that belongs to the letter before it."""
    held: Token | None = None
    for piece in pieces:
        if held and piece.joint is Joint.WORD and belongs(held.text, piece.text):
            held = replace(held, text=held.text + piece.text, end=max(held.end, piece.end))
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _in_order(pieces: Iterable[Token]) -> Iterator[Token]:
    """The same pieces, none starting before the one before it, none ending before it starts."""
    latest = 0
    for piece in pieces:
        latest = max(latest, piece.start)
        yield replace(piece, start=latest, end=max(latest, piece.end))
