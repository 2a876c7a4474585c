"""How far a transcript is from what was said: errors of words and characters, by jiwer's alignment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import jiwer

from stemscribe.evaluation.normalisation import is_without_spaces, normalised

_LINE = 110  # characters of a line of an alignment


@dataclass(frozen=True)
class WordErrors:
    """The errors of one transcript, or of many together: counts, of which rates are made last.

    Attributes:
        words: how many words were said; 0 where nothing was, or where the script puts no spaces between words.
        substitutions: words that were written as others.
        lost: words that were said and not written (deletions).
        invented: words that were written and not said (insertions).
        characters: how many characters were said, with the spaces between words.
        character_errors: substituted, lost and invented characters.
    """

    words: int = 0
    substitutions: int = 0
    lost: int = 0
    invented: int = 0
    characters: int = 0
    character_errors: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.lost + self.invented

    @property
    def wer(self) -> float | None:
        """Word error rate: errors for each word that was said; `None` where no words are counted."""
        return self.errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """Character error rate; `None` where nothing was said."""
        return self.character_errors / self.characters if self.characters else None

    @property
    def counted(self) -> tuple[int, int]:
        """Errors and what they are counted against: words where there are any, else characters."""
        return (self.errors, self.words) if self.words else (self.character_errors, self.characters)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.words + other.words,
            self.substitutions + other.substitutions,
            self.lost + other.lost,
            self.invented + other.invented,
            self.characters + other.characters,
            self.character_errors + other.character_errors,
        )


def total(errors: Iterable[WordErrors]) -> WordErrors:
    """All errors together: the rates of the sum, not the mean of rates."""
    return sum(errors, WordErrors())


def word_errors(said: str, written: str) -> WordErrors:
    """The errors of a transcript; both texts are normalised first.

    Args:
        said: the reference. Where most of it is in a script without spaces, only characters are compared, and white
            space is left out of both.
        written: the transcript.

    Raises:
        ValueError: the reference has no word.

    >>> word_errors("Ask not what!", "ask what")
    WordErrors(words=3, substitutions=0, lost=1, invented=0, characters=12, character_errors=4)
    """
    reference, hypothesis = normalised(said), normalised(written)
    if not reference:
        raise ValueError("nothing to compare with: the reference has no word")
    if is_without_spaces(reference):
        return _of_characters(reference.replace(" ", ""), hypothesis.replace(" ", ""))
    words = jiwer.process_words(reference, hypothesis)
    by_character = _of_characters(reference, hypothesis)
    return WordErrors(
        words=words.hits + words.substitutions + words.deletions,
        substitutions=words.substitutions,
        lost=words.deletions,
        invented=words.insertions,
        characters=by_character.characters,
        character_errors=by_character.character_errors,
    )


def _of_characters(reference: str, hypothesis: str) -> WordErrors:
    found = jiwer.process_characters(reference, hypothesis)
    return WordErrors(
        characters=found.hits + found.substitutions + found.deletions,
        character_errors=found.substitutions + found.deletions + found.insertions,
    )


def invented_words(written: str) -> int:
    """How many words a transcript has where nothing was said; characters, in a script without spaces.

    >>> invented_words("Thank you for watching! ♪"), invented_words("...")
    (4, 0)
    """
    text = normalised(written)
    return len(text.replace(" ", "")) if is_without_spaces(text) else len(text.split())


def alignment(said: str, written: str) -> str:
    """Both texts under each other, word by word, with a mark at each error: S, D (lost) or I (invented).

    Args:
        said: the reference; with a word in it.
        written: the transcript.
    """
    reference, hypothesis = normalised(said), normalised(written)
    compared = jiwer.process_characters if is_without_spaces(reference) else jiwer.process_words
    shown = jiwer.visualize_alignment(
        compared(reference, hypothesis), show_measures=False, skip_correct=False, line_width=_LINE
    )
    return "\n".join(line.rstrip() for line in shown.split("\n")[2:]).strip("\n") + "\n"
