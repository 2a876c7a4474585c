from __future__ import annotations

import pytest

from stemscribe.subtitles.breaks import break_cost, ends_sentence, silence
from stemscribe.subtitles.tokens import Joint, Token


def pair(
    before: str, after: str, *, pause: int = 0, joint: Joint = Joint.SPACE, language: str = "en"
) -> tuple[Token, Token]:
    return (
        Token(before, 0, 1000, Joint.SPACE, language),
        Token(after, 1000 + pause, 2000 + pause, joint, language),
    )


@pytest.mark.parametrize("end", ["done.", "done?", "done!”", "done…", "है।", "है॥", "کیا؟", "ہے۔", "(I.)"])
def test_sentences_end_in_every_script(end: str) -> None:
    assert ends_sentence(*pair(end, "Next"))


@pytest.mark.parametrize("end", ["done", "done,", "Dr.", "Mrs.", "J.", ")"])
def test_what_does_not_end_a_sentence(end: str) -> None:
    assert not ends_sentence(*pair(end, "Next"))


def test_a_full_stop_ends_a_sentence_only_before_a_space_or_where_there_are_none() -> None:
    assert not ends_sentence(*pair("3.", "5", joint=Joint.WORD))
    assert ends_sentence(*pair("です。", "次", joint=Joint.INSIDE, language="ja"))


def test_better_breaks_cost_less() -> None:
    ranked = [
        pair("sentence.", "Next"),
        pair("clause,", "next"),
        pair("word", "and"),
        pair("word", "word"),
        pair("word", "glued", joint=Joint.WORD),
        pair("the", "word"),
        pair("wo", "rd", joint=Joint.INSIDE),
    ]
    costs = [break_cost(before, after) for before, after in ranked]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize(
    ("language", "word", "opener"),
    [("en", "saw", "the"), ("de", "sah", "und"), ("fr", "vu", "que"), ("es", "dijo", "porque"), ("hi", "कहा", "कि")],
)
def test_a_break_belongs_before_the_word_that_opens_a_clause_not_after_it(
    language: str, word: str, opener: str
) -> None:
    plain = break_cost(*pair(word, word, language=language))
    assert (
        break_cost(*pair(word, opener, language=language)) < plain < break_cost(*pair(opener, word, language=language))
    )


def test_a_title_stays_with_its_name() -> None:
    assert break_cost(*pair("Dr.", "Smith")) > break_cost(*pair("Ann", "Smith"))


def test_the_end_of_a_segment_is_a_good_place() -> None:
    assert break_cost(*pair("word", "word", joint=Joint.SEGMENT)) == break_cost(*pair("word,", "word"))


def test_a_pause_makes_a_break_cheaper() -> None:
    costs = [break_cost(*pair("word", "word", pause=pause)) for pause in (0, 100, 500, 900)]
    assert costs[0] > costs[1] > costs[2] == costs[3]


def test_overlapping_tokens_have_no_silence_between_them() -> None:
    assert silence(Token("a", 0, 500, Joint.SPACE), Token("b", 200, 900, Joint.SPACE)) == 0
