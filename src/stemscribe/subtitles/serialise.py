"""Cues as the text of a subtitle file, through pysubs2.

pysubs2 keeps the text of an event in SubStation's notation: a backslash with N, n or h is white space, a brace opens
a style, and an event that `draws` is dropped on writing. Many players read the same into SubRip. So the backslash,
which all of this needs, becomes the look-alike U+2216. Times in the text lose their colon to U+2236, because pysubs2
takes every line with two times in it for a timing line when it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import pysubs2

from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.rules import milliseconds

Format = Literal["srt", "vtt"]
NEW_LINE = r"\N"
TIME_IN_TEXT = re.compile(r"(\d):(?=\d{1,2}[.,]\d)")


def serialise(cues: Iterable[Cue], file_format: Format, replacements: Mapping[str, str]) -> str:
    """The whole file; its lines, the last one too, end in a plain line feed.

    Args:
        cues: what to write, in order.
        file_format: pysubs2's name of the format.
        replacements: what to write in place of characters that mean something in it.
    """
    table = str.maketrans({"\\": "∖", **replacements})
    subtitles = pysubs2.SSAFile()
    for cue in cues:
        text = NEW_LINE.join(TIME_IN_TEXT.sub(r"\1∶", line).translate(table) for line in cue.lines)
        subtitles.append(pysubs2.SSAEvent(start=milliseconds(cue.start), end=milliseconds(cue.end), text=text))
    body = subtitles.to_string(file_format, keep_ssa_tags=True).rstrip("\n")
    return f"{body}\n" if body else ""
