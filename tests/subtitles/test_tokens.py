from __future__ import annotations

from collections.abc import Iterator
from random import Random

from stemscribe.subtitles.tokens import Joint, Token, joined, stream, tokens_of
from stemscribe.transcript import Segment, Transcript, Word


def tokens(*words: tuple[float, float, str], text: str = "", language: str = "en") -> list[Token]:
    segment = Segment(1.0, 3.0, text, language, tuple(Word(*word, 0.9) for word in words))
    return tokens_of(Transcript(language, (segment,)), room=42)


def rows(found: list[Token]) -> list[tuple[str, int, int, Joint]]:
    return [(token.text, token.start, token.end, token.joint) for token in found]


def test_words_keep_their_times() -> None:
    assert rows(tokens((1.0, 1.5, " Ask"), (1.5, 2.0, " not."))) == [
        ("Ask", 1000, 1500, Joint.SEGMENT),
        ("not.", 1500, 2000, Joint.SPACE),
    ]


def test_a_segment_without_words_shares_its_time_by_the_cells_of_its_text() -> None:
    assert rows(tokens(text=" aaa bbbbb c ")) == [
        ("aaa", 1000, 1545, Joint.SEGMENT),
        ("bbbbb", 1727, 2636, Joint.SPACE),
        ("c", 2818, 3000, Joint.SPACE),
    ]


def test_words_that_are_all_blank_count_as_none() -> None:
    assert joined(tokens((1.0, 2.0, " "), (1.0, 2.0, "\n"), text=" said")) == "said"


def test_words_that_run_backwards_are_put_straight() -> None:
    times = [(token.start, token.end) for token in tokens((2.0, 1.0, " a"), (1.5, 2.5, " b"), (1.0, 1.1, " c"))]
    assert times == [(2000, 2000), (2000, 2500), (2000, 2000)]


def test_a_mark_that_comes_as_a_word_joins_its_letter() -> None:
    assert [token.text for token in tokens((1.0, 1.1, " क"), (1.1, 1.2, "ि"), (1.2, 1.3, "स"))] == ["कि", "स"]


def test_white_space_after_a_word_counts_as_before_the_next() -> None:
    assert (
        joined(tokens((1.0, 1.1, "one "), (1.1, 1.2, "two"), (1.2, 1.3, ""), (1.2, 1.3, "-three"))) == "one two-three"
    )


def test_words_without_spaces_are_joined_without() -> None:
    found = tokens((1.0, 1.5, "今日"), (1.5, 2.0, "は"), language="ja")
    assert joined(found) == "今日は"
    assert [token.joint for token in found] == [Joint.SEGMENT, Joint.INSIDE, Joint.WORD]


def test_segments_that_say_nothing_are_left_out() -> None:
    assert tokens(text=" \n ") == []


def test_a_blank_word_does_not_decide_when_a_segment_begins() -> None:
    late = Segment(0.0, 9.5, "", "en", (Word(0.0, 0.1, " ", 0.9), Word(9.0, 9.5, " late", 0.9)))
    early = Segment(1.0, 2.0, " early", "en")
    assert joined(tokens_of(Transcript("en", (late, early)), room=42)) == "early late"


def test_segments_out_of_order_are_put_in_order_while_they_come() -> None:
    random = Random(0)
    starts = [index + random.uniform(0.0, 10.0) for index in range(200)]
    read = 0

    def segments() -> Iterator[Segment]:
        nonlocal read
        for start in starts:
            read += 1
            yield Segment(start, start + 0.5, f"{start:.3f}", "en")

    found = stream(segments(), 42, 10_000)
    assert next(found).text == f"{min(starts):.3f}"
    assert read < 40, "more of the film is held than has to be"
    assert [f"{min(starts):.3f}", *(token.text for token in found)] == [f"{start:.3f}" for start in sorted(starts)]
