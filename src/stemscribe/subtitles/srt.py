r"""SubRip, the format that every player reads and nobody has specified.

It has no way to escape anything, and players take `<i>` and `{\an8}` for styles. So what could open a style is
written with characters that look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.serialise import serialise

LOOK_ALIKES = {"<": "‹", ">": "›", "{": "(", "}": ")"}


def render(cues: Iterable[Cue]) -> str:
    r"""The text of an `.srt` file; empty when there are no cues.

    >>> render([Cue(1.0, 2.5, ("Yes.",))])
    '1\n00:00:01,000 --> 00:00:02,500\nYes.\n'
    """
    return "".join(pieces(cues))


def pieces(cues: Iterable[Cue]) -> Iterator[str]:
    """What `render` gives, piece by piece."""
    return serialise(cues, "srt", LOOK_ALIKES)
