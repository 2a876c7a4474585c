"""How wide a text is on the screen, and where it may be cut without harming a letter.

Widths are in cells, as a terminal counts them: a wide character of East Asia takes two, a mark that sits on its base
takes none. Marks that take up room of their own (Mc: most vowel signs of Hindi) count as one: the width is then never
below what a player needs. `rich.cells` is not used, because its table changes with its version, and with it the cues
would.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

JOINER = "\u200d"
EMOJI_STYLE = "\ufe0f"  # makes the character before it an emoji, which is two cells wide
BYTE_ORDER_MARK = "\ufeff"
SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
VIRAMA = 9  # the canonical combining class of the sign that joins two consonants into one shape
UNPRINTABLE = ("Cc", "Cs")
NEVER_FIRST = frozenset("ーゝゞヽヾ々〻ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")


def cleaned(text: str) -> str:
    """A recogniser's text without control characters; white space of every kind becomes a plain space each.

    Lone surrogates go too (they cannot be written as UTF-8), and byte order marks.
    """
    return "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or not (unicodedata.category(character) in UNPRINTABLE or character == BYTE_ORDER_MARK)
    )


@lru_cache(maxsize=1 << 14)
def cells(text: str) -> int:
    """How many cells a text takes on one line.

    >>> cells("Kraft"), cells("日本"), cells("की")
    (5, 4, 2)
    """
    return sum(map(_character_cells, text))


def _character_cells(character: str) -> int:
    if character == EMOJI_STYLE:
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if _is_wide(character) else 1


def graphemes(text: str) -> list[str]:
    """A text in pieces that are drawn as one: a base with its marks, a conjunct, a joined emoji.

    This is the part of UAX 29 (extended grapheme clusters) that matters to recognised speech.

    >>> graphemes("क्षमा")
    ['क्ष', 'मा']
    """
    clusters: list[str] = []
    for character in text:
        if clusters and belongs(clusters[-1], character):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def belongs(before: str, after: str) -> bool:
    """Whether the first character of `after` must not be parted from the last of `before`."""
    last, first = before[-1], after[0]
    if unicodedata.category(first) in ("Mn", "Mc", "Me", "Cf") or first in SKIN_TONES:
        return True
    return last == JOINER or (unicodedata.combining(last) == VIRAMA and first.isalpha())


def unbroken(text: str, room: int) -> list[str]:
    """A text without spaces in the pieces between which a line may end, none wider than `room` cells.

    Words of alphabets stay whole unless they are wider than a line; text of scripts without spaces may end anywhere
    but before closing and after opening punctuation (the core of the Japanese kinsoku rules).

    >>> unbroken("東京、stemscribe", 42)
    ['東', '京、', 'stemscribe']
    """
    pieces: list[str] = []
    for cluster in graphemes(text):
        if pieces and not _may_part(pieces[-1], cluster):
            pieces[-1] += cluster
        else:
            pieces.append(cluster)
    return [part for piece in pieces for part in _hard_broken(piece, room)]


def _may_part(before: str, after: str) -> bool:
    if not (is_spaceless(before[-1]) or is_spaceless(after[0])):
        return False
    closes = unicodedata.category(after[0]) in ("Pe", "Pf", "Po") or after[0] in NEVER_FIRST
    return not closes and unicodedata.category(before[-1]) not in ("Ps", "Pi")


def is_spaceless(character: str) -> bool:
    """Whether a character is of a script that is written without spaces; Korean, though wide, has them."""
    return _is_wide(character) and "HANGUL" not in unicodedata.name(character, "")


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _hard_broken(piece: str, room: int) -> Iterator[str]:
    """A piece in parts of at most `room` cells, at graphemes; inside one only if it alone is wider than the room."""
    if cells(piece) <= room:
        yield piece
        return
    part = ""
    for cluster in graphemes(piece):
        for unit in [cluster] if cells(cluster) <= room else cluster:
            if part and cells(part) + cells(unit) > room:
                yield part
                part = ""
            part += unit
    yield part
