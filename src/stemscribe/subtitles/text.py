"""The transcript to read: paragraphs, each on one line, with an empty line between them."""

from __future__ import annotations

import sys

from stemscribe.subtitles.breaks import silence
from stemscribe.subtitles.rules import MILLISECOND_RATE, milliseconds
from stemscribe.subtitles.tokens import Token, joined, tokens_of
from stemscribe.timebase import Seconds, clock, to_seconds
from stemscribe.transcript import Transcript


def render(transcript: Transcript, *, pause: Seconds = 2.0, times: bool = False) -> str:
    """The text of a `.txt` file; empty when nothing was said.

    Args:
        transcript: what was said.
        pause: a silence longer than this begins a paragraph.
        times: put the time in front of each paragraph, as in `[1:02:05]`.
    """
    lines = [
        _stamp(paragraph) * times + joined(paragraph) for paragraph in _paragraphs(transcript, milliseconds(pause))
    ]
    return "\n\n".join(lines) + "\n" * bool(lines)


def _paragraphs(transcript: Transcript, pause: int) -> list[list[Token]]:
    paragraphs: list[list[Token]] = []
    for token in tokens_of(transcript, room=sys.maxsize):
        if paragraphs and silence(paragraphs[-1][-1], token) <= pause:
            paragraphs[-1].append(token)
        else:
            paragraphs.append([token])
    return paragraphs


def _stamp(paragraph: list[Token]) -> str:
    """When a paragraph begins, in whole seconds: the milliseconds of the clock are cut off."""
    return f"[{clock(to_seconds(paragraph[0].start, MILLISECOND_RATE))[: -len('.000')]}] "
