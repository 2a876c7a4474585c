from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from stemscribe.subtitles.display import cells, cleaned, graphemes, unbroken


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("नमस्ते", ["न", "म", "स्ते"]),
        ("हिन्दी", ["हि", "न्दी"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("👩\u200d🔬x", ["👩\u200d🔬", "x"]),
        ("👍🏽!", ["👍🏽", "!"]),
        ("abc", ["a", "b", "c"]),
        ("", []),
    ],
)
def test_what_is_drawn_as_one_stays_together(text: str, pieces: list[str]) -> None:
    assert graphemes(text) == pieces


@given(st.text())
def test_graphemes_lose_nothing(text: str) -> None:
    assert "".join(graphemes(text)) == text


@pytest.mark.parametrize(
    "text", ["plain", "Straße", "हिन्दी में", "日本語、ー", "한국어", "سلام", "e\u0301", "👍", "❤\ufe0f"]
)
def test_a_width_is_never_below_that_of_a_terminal(text: str) -> None:
    assert cells(text) >= cell_len(text)


def test_marks_on_their_base_take_no_room_and_wide_characters_take_two() -> None:
    assert (cells("e\u0301"), cells("कु"), cells("の"), cells("A")) == (1, 1, 2, 1)


def test_punctuation_stays_with_the_character_it_belongs_to() -> None:
    assert unbroken("「東京」、ですね。", 42) == ["「東", "京」、", "で", "す", "ね。"]


def test_korean_is_broken_at_its_spaces_only() -> None:
    assert unbroken("대한민국", 42) == ["대한민국"]


@given(st.text("aक्षि東、\u0301", max_size=200), st.integers(2, 50))
def test_no_piece_is_wider_than_the_room_and_nothing_is_lost(text: str, room: int) -> None:
    pieces = unbroken(text, room)
    assert "".join(pieces) == text
    assert all(0 <= cells(piece) <= room for piece in pieces)


def test_cleaning_leaves_what_can_be_seen() -> None:
    assert cleaned("a\nb\tc\x00\x07d\ud800e\ufefff\u2028g\u200dh") == "a b cdef g\u200dh"
