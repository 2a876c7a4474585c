"""Scripts: in which letters a text is written, and which of them a language is written in.

Small Whisper models write Hindi in Latin or Arabic letters as often as in Devanagari: readable to few, found by no
search. A letter's script is the first word of its Unicode name, a language's that of the likely subtags of CLDR, by
way of `langcodes`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from stemscribe.choices import Script

LATIN = "LATIN"
COMMON = "COMMON"
# ISO 15924 codes of all languages that Whisper knows, as the names of Unicode letters begin.
_NAMES = {
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hans": ("CJK",),
    "Hant": ("CJK",),
    "Hebr": ("HEBREW",),
    "Jpan": ("HIRAGANA", "KATAKANA", "CJK"),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Kore": ("HANGUL", "CJK"),
    "Laoo": ("LAO",),
    "Latn": (LATIN,),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Sinh": ("SINHALA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Thai": ("THAI",),
    "Tibt": ("TIBETAN",),
}
_OF_NO_SCRIPT = {"COMBINING", "VARIATION", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"}
_OF_NO_SCRIPT |= {"IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH"}  # 々, and letters of any script in Japanese type
_WITHOUT_SPACES = frozenset(("CJK", "HIRAGANA", "KATAKANA", "KHMER", "LAO", "MYANMAR", "THAI", "TIBETAN"))
_SCRIPTS = frozenset(name for names in _NAMES.values() for name in names)
_ALSO = {"sr": (LATIN,), "sd": ("DEVANAGARI",), "pa": ("ARABIC",)}  # written in either, by whole countries


def scripts_for(language: str, wanted: Script) -> frozenset[str]:
    """The scripts that a text in a language is to be written in; empty where any will do.

    >>> sorted(scripts_for("hi", "native")), sorted(scripts_for("hi", "latin")), sorted(scripts_for("hi", "any"))
    (['DEVANAGARI'], ['LATIN'], [])
    """
    if wanted == "any":
        return frozenset()
    if wanted == "latin":
        return frozenset((LATIN,))
    import langcodes

    likely = langcodes.get(language).maximize().script or ""
    return frozenset((*_NAMES.get(likely, ()), *_ALSO.get(language, ())))


def share_in(text: str, scripts: frozenset[str]) -> float:
    """The share of a text's letters that are in one of these scripts; 1 where it has none, or any script will do.

    >>> share_in("राम go", frozenset({"DEVANAGARI"}))
    0.6
    """
    counts = _letters(text)
    total = sum(counts.values())
    if not total or not scripts:
        return 1.0
    return sum(count for script, count in counts.items() if script in scripts) / total


def share_without_spaces(text: str) -> float:
    """The share of a text's letters that are in scripts without spaces between words; 0 where it has none.

    >>> share_without_spaces("はい ok"), share_without_spaces("1984")
    (0.5, 0.0)
    """
    return share_in(text, _WITHOUT_SPACES) if _letters(text) else 0.0


def main_script(text: str) -> str:
    """The script of most of a text's letters; empty where it has none.

    >>> main_script("मैं ठीक हूँ, thanks"), main_script("1984")
    ('DEVANAGARI', '')
    """
    return max(_letters(text).items(), key=lambda entry: entry[1], default=("", 0))[0]


def tokens_outside(vocabulary: Mapping[str, int], scripts: frozenset[str], first_special: int) -> tuple[int, ...]:
    """The tokens with which a decoder would leave these scripts.

    Tokens are pieces of UTF-8: what holds a letter of another script, or the first byte of mostly such letters, is one
    of them. Digits, punctuation and continuation bytes are not.

    Args:
        vocabulary: the tokens in the alphabet of byte-level tokenisers, and their numbers.
        scripts: the scripts to stay in.
        first_special: from this number on, tokens are no text.
    """
    byte_of = _bytes_of_the_alphabet()
    return tuple(
        sorted(
            number
            for token, number in vocabulary.items()
            if number < first_special and _leaves(bytes(byte_of[letter] for letter in token), scripts)
        )
    )


def _leaves(piece: bytes, scripts: frozenset[str]) -> bool:
    if any(_script_of(letter) not in (COMMON, *scripts) for letter in piece.decode("utf-8", errors="ignore")):
        return True
    last = piece[-1:]
    for length in (1, 2, 3):  # a character that is only begun here: its first byte is one of the last three
        first = piece[-length] if len(piece) >= length else 0
        if first >= 0xC2:
            begun = piece[-length:]
            return bool(last) and _mostly_leaves(begun, scripts)
    return False


@lru_cache(maxsize=4096)
def _mostly_leaves(begun: bytes, scripts: frozenset[str]) -> bool:
    """Whether most characters whose UTF-8 begins so are letters outside of the scripts, and none is one of theirs."""
    missing = (2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else 4) - len(begun)
    if missing not in (1, 2):  # whole, or a plane of its own: emoji and rare ideographs
        return False
    ends = range(64**missing)
    found = Counter(_script_of(letter) for letter in (_completed(begun, end, missing) for end in ends) if letter)
    return not scripts.intersection(found) and 2 * found[COMMON] < sum(found.values())


def _completed(begun: bytes, end: int, missing: int) -> str:
    tail = bytes(0x80 | (end >> 6 * place) & 0x3F for place in reversed(range(missing)))
    letter = (begun + tail).decode("utf-8", errors="ignore")
    return letter if letter and unicodedata.name(letter, "") else ""


@lru_cache(maxsize=8192)
def _script_of(letter: str) -> str:
    """The script of one letter, vowel sign, or mark that only one script has; `COMMON` for what belongs to none."""
    words = unicodedata.name(letter, COMMON).replace("-", " ").split(" ")
    if words[0] in _OF_NO_SCRIPT or "DANDA" in words:  # all Indic scripts end their sentences with that of Devanagari
        return COMMON
    return words[0] if unicodedata.category(letter)[0] in "LM" or words[0] in _SCRIPTS else COMMON


def _letters(text: str) -> Counter[str]:
    """How many letters of each script there are; vowel signs count too, since they are half of an Indic text."""
    scripts = (_script_of(letter) for letter in text if unicodedata.category(letter)[0] in "LM")
    return Counter(script for script in scripts if script != COMMON)


@lru_cache(maxsize=1)
def _bytes_of_the_alphabet() -> dict[str, int]:
    """Which byte each letter of byte-level tokenisers stands for.

    Printable bytes of Latin-1 stand for themselves, all others in order for the letters from U+0100 on (GPT-2,
    Radford et al. 2019, `bytes_to_unicode`).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}
