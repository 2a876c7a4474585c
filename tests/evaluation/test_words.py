from __future__ import annotations

import pytest

from stemscribe.evaluation.words import WordErrors, alignment, invented_words, total, word_errors


def test_errors_are_told_apart() -> None:
    errors = word_errors("one two three four five six seven", "and one two tree four six seven")
    assert (errors.words, errors.substitutions, errors.lost, errors.invented) == (7, 1, 1, 1)
    assert errors.wer == pytest.approx(3 / 7)


def test_case_and_punctuation_are_no_errors() -> None:
    assert word_errors("Ask not — what?", "ask NOT what").errors == 0


def test_characters_are_counted_with_the_spaces_between_words() -> None:
    errors = word_errors("ab cd", "abcd")
    assert (errors.characters, errors.character_errors) == (5, 1)
    assert errors.cer == pytest.approx(0.2)


def test_nothing_written_is_everything_lost() -> None:
    errors = word_errors("one two three", "")
    assert (errors.lost, errors.wer, errors.cer) == (3, 1.0, 1.0)


def test_more_can_be_wrong_than_was_said() -> None:
    assert word_errors("yes", "no no no").wer == 3.0


def test_a_script_without_spaces_is_compared_by_characters() -> None:
    errors = word_errors("今日は 良い天気", "今日は良い元気です")
    assert (errors.words, errors.wer) == (0, None)
    assert (errors.characters, errors.character_errors) == (7, 3)
    assert errors.counted == (3, 7)


def test_a_reference_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="no word"):
        word_errors("…", "something")


def test_the_rate_of_all_is_that_of_the_sum_and_not_the_mean_of_rates() -> None:
    short, long = word_errors("yes", "no"), word_errors("a b c d e f g h i", "a b c d e f g h i")
    assert total([short, long]).wer == pytest.approx(0.1)
    assert total([]) == WordErrors()
    assert total([]).wer is None


def test_words_where_nothing_was_said() -> None:
    assert invented_words("Thanks for watching!") == 3
    assert invented_words("♪ ... ♪") == 0
    assert invented_words("ご視聴ありがとう") == 8  # characters: there is no other count


def test_an_alignment_marks_each_error() -> None:
    lines = alignment("the cat sat", "the dog sat down").splitlines()
    assert [line.split() for line in lines] == [
        ["REF:", "the", "cat", "sat", "****"],
        ["HYP:", "the", "dog", "sat", "down"],
        ["S", "I"],
    ]
