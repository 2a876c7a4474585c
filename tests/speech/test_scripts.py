from __future__ import annotations

import pytest

from stemscribe.speech.faster_whisper import known_languages
from stemscribe.speech.scripts import main_script, scripts_for, share_in, tokens_outside

DEVANAGARI = frozenset({"DEVANAGARI"})


def test_every_language_that_whisper_knows_has_a_script() -> None:
    assert {code for code in known_languages() if not scripts_for(code, "native")} == set()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("hi", "तुम कहाँ थे?"),
        ("mr", "काय चाललंय"),
        ("ta", "எப்படி இருக்கிறாய்"),
        ("te", "ఎలా ఉన్నావు"),
        ("bn", "কেমন আছো"),
        ("gu", "કેમ છો"),
        ("ur", "آپ کیسے ہیں؟"),
        ("ru", "Как дела?"),
        ("ar", "كيف حالك؟"),
        ("ja", "元気ですか、メアリー"),
        ("ja", "人々はＡと言う"),
        ("ko", "잘 지내요?"),
        ("zh", "你好吗"),
        ("en", "How are you — 42 naïve cafés?"),
        ("sr", "Kako si?"),
        ("sr", "Како си?"),
    ],
)
def test_texts_are_in_the_script_of_their_language(language: str, text: str) -> None:
    assert share_in(text, scripts_for(language, "native")) == 1.0


@pytest.mark.parametrize(("language", "text"), [("hi", "tum kahan the"), ("hi", "تم کہاں تھے"), ("ur", "तुम कहाँ थे")])
def test_another_script_is_noticed(language: str, text: str) -> None:
    assert share_in(text, scripts_for(language, "native")) == 0.0


def test_texts_that_mix_scripts_have_a_share() -> None:
    assert 0.5 < share_in("मैं office जा रहा हूँ", DEVANAGARI) < 1.0
    assert main_script("मैं office जा रहा हूँ") == "DEVANAGARI"
    assert share_in("1984 — ♪", DEVANAGARI) == 1.0
    assert share_in("anything", scripts_for("hi", "any")) == 1.0


def encoded(*texts: str) -> dict[str, int]:
    """A vocabulary in the alphabet of byte-level tokenisers."""
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = ByteLevel(add_prefix_space=False, use_regex=False)
    return {pieces.pre_tokenize_str(text)[0][0]: number for number, text in enumerate(texts)}


def test_tokens_that_leave_the_script_are_found() -> None:
    texts = ("the", " है", " 42", "?।", "۔", "ا", "तुम now", "é", "ொ", "…", "\u0301")
    outside = tokens_outside(encoded(*texts), DEVANAGARI, first_special=len(texts))
    assert [texts[number] for number in outside] == ["the", "۔", "ا", "तुम now", "é", "ொ"]


def test_all_indic_scripts_share_a_full_stop() -> None:
    assert tokens_outside(encoded("।", "॥", "क"), frozenset({"BENGALI"}), first_special=3) == (2,)


def test_special_tokens_are_left_alone() -> None:
    assert tokens_outside(encoded("the", "end"), DEVANAGARI, first_special=1) == (0,)


def test_pieces_of_letters_are_judged_by_what_they_can_become() -> None:
    alphabet = {"Ø": 0, "à¤": 1, "à®": 2, "â": 3, "Ĳ": 4, "ðŁ": 5}  # the bytes D8, E0 A4, E0 AE, E2, 90, F0 9F
    assert tokens_outside(alphabet, DEVANAGARI, first_special=9) == (0, 2)  # Arabic, Tamil
