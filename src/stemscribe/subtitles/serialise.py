"""Cues as the text of a subtitle file, through pysubs2.

pysubs2 keeps the text of an event in SubStation's notation: a backslash with N, n or h is white space, a brace opens
a style, and an event that `draws` is dropped on writing. Many players read the same into SubRip. So the backslash,
which all of this needs, becomes the look-alike U+2216. Times in the text lose their colon to U+2236, because pysubs2
takes every line with two times in it for a timing line when it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import pysubs2

from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.rules import milliseconds

Format = Literal["srt", "vtt"]
NEW_LINE = r"\N"
TIME_IN_TEXT = re.compile(r"(\d):(?=\d{1,2}[.,]\d)")


def serialise(cues: Iterable[Cue], file_format: Format, replacements: Mapping[str, str]) -> Iterator[str]:
    """The whole file piece by piece; its lines, the last one too, end in a plain line feed.

    Args:
        cues: what to write, in order.
        file_format: pysubs2's name of the format.
        replacements: what to write in place of characters that mean something in it.
    """
    waiting = ""
    for block in _blocks(cues, file_format, str.maketrans({"\\": "∖", **replacements})):
        body = block.rstrip("\n")
        yield waiting + body
        waiting = block[len(body) :]
    if waiting:
        yield "\n"


def _blocks(cues: Iterable[Cue], file_format: Format, table: Mapping[int, str]) -> Iterator[str]:
    """What stands before all cues, if anything, then each cue with its number and the empty line after it."""
    head = pysubs2.SSAFile().to_string(file_format)
    if head:
        yield head
    number = 1
    subtitles = pysubs2.SSAFile()
    for cue in cues:
        text = NEW_LINE.join(TIME_IN_TEXT.sub(r"\1∶", line).translate(table) for line in cue.lines)
        subtitles.events = [
            pysubs2.SSAEvent(start=milliseconds(cue.start), end=milliseconds(cue.end), text=text)
        ]  # one at a time: thousands of them would be most of what a long film needs
        block = subtitles.to_string(file_format, keep_ssa_tags=True).removeprefix(head)
        if block:
            yield f"{number}{block.removeprefix('1')}"
            number += 1
