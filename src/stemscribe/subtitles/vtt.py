"""WebVTT, the format of the web (W3C, https://www.w3.org/TR/webvtt1/).

Its cue text knows tags and character references; escaping what opens them also keeps `-->`, which may not stand in a
cue, out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.serialise import serialise

ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(cues: Iterable[Cue]) -> str:
    r"""The text of a `.vtt` file; without cues it is the header alone.

    >>> render([])
    'WEBVTT\n'
    """
    return "".join(pieces(cues))


def pieces(cues: Iterable[Cue]) -> Iterator[str]:
    """What `render` gives, piece by piece."""
    return serialise(cues, "vtt", ESCAPES)
