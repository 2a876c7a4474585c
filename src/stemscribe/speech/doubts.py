"""What speaks against a text: nothing that was not said may end in a transcript.

Over music and silence Whisper writes what it often saw there in training, and sometimes it repeats itself without end.
What tells is always a conflict between two witnesses: the text against the vocals, which are silent there; the
recogniser, which is unsure, against the detector, which heard nobody.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import groupby

import msgspec

from stemscribe.speech.recognition import overlap
from stemscribe.speech.scripts import share_without_spaces
from stemscribe.speech.sound import Sound
from stemscribe.toml import parse_toml
from stemscribe.transcript import Region, Segment

NO_WORDS = "no words"


@dataclass(frozen=True)
class DoubtRules:
    """When a text is not believed.

    Attributes:
        unsure: an average log probability below this is little confidence.
        silent: vocals that are there for less than this share of a text are silent.
        unheard: a detector that is sure of speech for less than this share of it heard nobody.
        loop_ratio: text that compresses better than this repeats itself (Radford et al. 2022, section 4.5).
        loop_times: so does one word or phrase, said this often in a row.
        fastest: words a second that nobody speaks, over a text of some length.
    """

    unsure: float = -0.6
    silent: float = 0.1
    unheard: float = 0.1
    loop_ratio: float = 2.4
    loop_times: int = 6
    fastest: float = 8.0


@dataclass(frozen=True)
class Doubt:
    """What speaks against a text; `fatal` if it is not to be believed at all."""

    reason: str
    fatal: bool


def doubts(
    segment: Segment, sound: Sound, speech: Sequence[Region], rules: DoubtRules = DoubtRules()
) -> tuple[Doubt, ...]:
    """What speaks against a segment, the gravest first.

    Args:
        segment: what was recognised, in seconds of the mix.
        sound: the region in which it was.
        speech: where the detector is sure of speech, in order.
        rules: when a text is not believed.
    """
    plain = plain_words(segment.text)
    if not plain:
        return (Doubt(NO_WORDS, fatal=True),)
    confidence = segment.average_log_probability
    unsure = confidence is not None and confidence < rules.unsure
    unheard = overlap(segment, speech) <= rules.unheard * (segment.end - segment.start)
    silent = sound.voiced_share(segment.start, segment.end) < rules.silent
    sure_of = f"an average log probability of {confidence or 0.0:.2f}"
    found = (
        (credit_in(plain, segment.language), True, "a line about subtitles, as Whisper writes over music"),
        (silent, unsure or unheard, "the vocals are silent here"),
        (unsure and unheard, True, f"no speech detected here, and {sure_of}"),
        (is_outro(plain, segment.language) and (unsure or unheard or silent), True, "what Whisper writes over silence"),
        (repeats_itself(segment, rules), unsure or unheard or silent, "it repeats itself"),
        (_is_too_fast(segment, rules), unsure, f"faster than anybody speaks, and {sure_of}"),
    )
    named = (Doubt(reason, fatal) for is_so, fatal, reason in found if is_so)
    return tuple(sorted(named, key=lambda doubt: not doubt.fatal))


def repeats_itself(segment: Segment, rules: DoubtRules = DoubtRules()) -> bool:
    """Whether a text goes round in a loop: one phrase of up to four words again and again."""
    words = units(plain_words(segment.text))
    if any(_longest_run(words, length) >= rules.loop_times for length in (1, 2, 3, 4)):
        return True
    ratio = segment.compression_ratio
    if ratio is None or len(words) < 2 * rules.loop_times:
        return False
    return ratio > rules.loop_ratio * max(1.0, _redundancy(segment.text))


def plain_words(text: str) -> str:
    """A text in lower case, without punctuation and symbols.

    >>> plain_words("Sous-titres, par «Amara.org»… ♪")
    'sous titres par amara org'
    """
    kept = (letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in text.lower())
    return " ".join("".join(kept).split())


def units(plain: str) -> list[str]:
    """What of a plain text is compared and counted: words, or letters where its script puts no spaces between words.

    >>> units("come in"), units("はい 元気")
    (['come', 'in'], ['は', 'い', '元', '気'])
    """
    return list(plain.replace(" ", "")) if share_without_spaces(plain) > 0.5 else plain.split()


def credit_in(plain: str, language: str) -> bool:
    """Whether a plain text holds a line about the subtitles themselves, and not just its letters within other words.

    >>> credit_in("字幕由amara org社区提供", "zh"), credit_in("tamara organised it", "en")
    (True, False)
    """
    return any(_stands_in(credit, plain) for code in ("any", language) for credit in _phrases(code).credits)


def _stands_in(phrase: str, plain: str) -> bool:
    """Whether a phrase stands in a text by itself; scripts without upper and lower case may go on beside it."""
    places = (found.span() for found in re.finditer(re.escape(phrase), plain))
    return any(not (plain[:start][-1:].islower() or plain[stop:][:1].islower()) for start, stop in places)


def is_outro(plain: str, language: str) -> bool:
    """Whether a plain text is nothing but phrases that Whisper writes over silence, one or several.

    >>> is_outro("thank you bye bye", "en"), is_outro("thank you watson", "en")
    (True, False)
    """
    rest = plain
    for outro in sorted(_phrases(language).outros, key=len, reverse=True):
        rest = re.sub(rf"(?<!\S){re.escape(outro)}(?!\S)", "", rest)
    return bool(plain) and not rest.strip()


def _redundancy(text: str) -> float:
    """How much better UTF-8 compresses than the letters that it stands for.

    Whisper measures bytes, and an Indic letter is three of them that begin alike: 30 s of plain Hindi compress better
    than 2.4 without a word said twice. About 1 for Latin letters, 1.2 for Cyrillic, 1.7 for Devanagari.
    """
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    return _compression(text.encode()) / _compression(bytes(min(letters[letter], 255) for letter in text))


def _compression(content: bytes) -> float:
    return len(content) / len(zlib.compress(content))


def _longest_run(words: Sequence[str], length: int) -> int:
    """How often at most a phrase of this length is said without anything in between."""
    longest = 1
    for offset in range(length):
        phrases = [tuple(words[first : first + length]) for first in range(offset, len(words) - length + 1, length)]
        longest = max([longest, *(len(list(run)) for _, run in groupby(phrases))])
    return longest


def _is_too_fast(segment: Segment, rules: DoubtRules) -> bool:
    words = len(segment.text.split())
    return words >= 4 and words > rules.fastest * max(segment.end - segment.start, 1e-3)


class _Phrases(msgspec.Struct, forbid_unknown_fields=True):
    credits: tuple[str, ...] = ()
    outros: tuple[str, ...] = ()


def phrases_digest() -> str:
    """What the collection of phrases is, hashed: results depend on it."""
    return hashlib.sha256(_collection()).hexdigest()


@lru_cache(maxsize=1)
def _document() -> dict[str, _Phrases]:
    content = parse_toml(_collection().decode())
    return msgspec.convert(content, dict[str, _Phrases])


def _collection() -> bytes:
    return files(__package__).joinpath("phrases.toml").read_bytes()


def _phrases(code: str) -> _Phrases:
    return _document().get(code, _Phrases())
