"""What of a text counts when it is compared: words, not how they are written down.

Nothing cleverer than what is said here is done: no numbers are spelt out, no contractions are opened, no spellings are
made alike. Whoever wants that does it to both texts beforehand.
"""

from __future__ import annotations

import unicodedata

_DASHES = {"Pd"}
_SILENT = ("P", "S", "C")  # punctuation, symbols, and what cannot be seen: joiners, marks of direction, controls
_WITHOUT_SPACES = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR", "KHMER", "TIBETAN")


def normalised(text: str) -> str:
    """A text as it is compared: NFKC, lower case, without punctuation and symbols, single spaces.

    Dashes, hyphens and white space part words; all other punctuation (Unicode categories P and S) and what is invisible
    (C) goes without a trace, so that `don't` is one word. Combining marks (M), without which Indic scripts cannot be
    read, stay.

    >>> normalised("Well-known — “Don't!” ♪  he said…")
    'well known dont he said'
    >>> normalised("किया।")
    'किया'
    """
    lowered = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    return " ".join("".join(map(_kept, lowered)).split())


def _kept(character: str) -> str:
    """What is left of a character."""
    category = unicodedata.category(character)
    if category in _DASHES or character.isspace():
        return " "
    return "" if category.startswith(_SILENT) else character


def is_without_spaces(text: str) -> bool:
    """Whether most letters are of scripts that put no spaces between words: their words cannot be counted by spaces.

    >>> is_without_spaces("今日は good です"), is_without_spaces("नमस्ते"), is_without_spaces("")
    (True, False, False)
    """
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(unicodedata.name(letter, "").startswith(_WITHOUT_SPACES) for letter in letters) > len(letters)
