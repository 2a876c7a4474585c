"""Times of words in a text that somebody has mended: what was kept has its times, what is new shares what is free."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from stemscribe.timebase import Seconds
from stemscribe.transcript import Segment, Word

SURE = 1.0  # of what a person wrote


def words_of(segment: Segment, text: str) -> tuple[Word, ...]:
    """The words of a new text of a segment.

    >>> said = (Word(1.0, 1.4, " ask", 0.9), Word(1.4, 2.0, " nut", 0.3))
    >>> [(word.text, word.start, word.end) for word in words_of(Segment(1.0, 2.0, "ask nut", "en", said), "ask not")]
    [(' ask', 1.0, 1.4), (' not', 1.4, 2.0)]
    """
    new = text.split()
    old = [word.text.strip() for word in segment.words]
    found: list[Word] = []
    for kind, first, last, start, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found += segment.words[first:last]
        else:
            found += _shared(new[start:stop], *_free(segment, first, last))
    return tuple(found)


def _free(segment: Segment, first: int, last: int) -> tuple[Seconds, Seconds]:
    """From when to when the words from `first` to before `last` were said; of none, the pause in their place."""
    if first < last:
        return segment.words[first].start, segment.words[last - 1].end
    before = segment.words[first - 1].end if first else segment.start
    behind = segment.words[first].start if first < len(segment.words) else segment.end
    return before, max(before, behind)


def _shared(texts: Sequence[str], start: Seconds, end: Seconds) -> list[Word]:
    """Words side by side, each as long as its letters."""
    letters = sum(map(len, texts))
    found, at = [], 0
    for text in texts:
        begin, stop = (round(start + (end - start) * place / letters, 3) for place in (at, at + len(text)))
        found.append(Word(begin, stop, f" {text}", SURE))
        at += len(text)
    return found
