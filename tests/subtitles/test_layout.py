from __future__ import annotations

import pytest

from stemscribe.subtitles.layout import fitting, line_up, width
from stemscribe.subtitles.rules import CueRules
from stemscribe.subtitles.tokens import Joint, Token

RULES = CueRules(line_length=10, lines=2)


def row(text: str) -> list[Token]:
    return [Token(word, 0, 0, Joint.SPACE, "en") for word in text.split()]


def test_what_fits_on_one_line_stays_there() -> None:
    assert line_up(row("aaaa bbbbb"), RULES) == ("aaaa bbbbb",)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("aa bb cc dd", ("aa bb", "cc dd")),
        ("aa bb cc dd ee", ("aa bb", "cc dd ee")),  # the lower one is the longer
        ("aaaa, bb ccc", ("aaaa,", "bb ccc")),
        ("aaaaa and bbb", ("aaaaa", "and bbb")),
        ("aaa the bbbb", ("aaa", "the bbbb")),
    ],
)
def test_two_lines_are_broken_where_it_reads_best(text: str, lines: tuple[str, ...]) -> None:
    assert line_up(row(text), RULES) == lines


def test_a_cue_may_hold_as_much_as_its_lines_and_no_more() -> None:
    assert list(fitting(row("aaaa bbbbb cccccccccc d"), 0, RULES)) == [1, 2, 3]


def test_the_space_at_the_beginning_of_a_line_does_not_count() -> None:
    assert width(row("aaaa bbbbb")) == 10
