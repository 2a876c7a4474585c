"""The transcript to read: paragraphs, each on one line, with an empty line between them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from stemscribe.subtitles.breaks import silence
from stemscribe.subtitles.rules import MILLISECOND_RATE, milliseconds
from stemscribe.subtitles.tokens import Token, stream
from stemscribe.timebase import Seconds, clock, to_seconds
from stemscribe.transcript import Transcript


def render(transcript: Transcript, *, pause: Seconds = 2.0, times: bool = False) -> str:
    """The text of a `.txt` file; empty when nothing was said.

    Args:
        transcript: what was said.
        pause: a silence longer than this begins a paragraph.
        times: put the time in front of each paragraph, as in `[1:02:05]`.
    """
    return "".join(pieces(stream(transcript.segments, sys.maxsize, sys.maxsize), pause=pause, times=times))


def pieces(tokens: Iterable[Token], *, pause: Seconds = 2.0, times: bool = False) -> Iterator[str]:
    """What `render` gives, piece by piece, of tokens that come one at a time."""
    before: Token | None = None
    for token in tokens:
        if before is not None and silence(before, token) <= milliseconds(pause):
            yield " " * token.space + token.text
        else:
            yield "\n\n" * (before is not None) + _stamp(token) * times + token.text
        before = token
    if before is not None:
        yield "\n"


def _stamp(token: Token) -> str:
    """When a paragraph begins, in whole seconds: the milliseconds of the clock are cut off."""
    return f"[{clock(to_seconds(token.start, MILLISECOND_RATE))[: -len('.000')]}] "
