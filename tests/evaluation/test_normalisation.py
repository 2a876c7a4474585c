from __future__ import annotations

import unicodedata

import pytest

from stemscribe.evaluation.normalisation import is_without_spaces, normalised


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("And so, my fellow Americans: ask NOT!", "and so my fellow americans ask not"),
        ("don't don’t", "dont dont"),
        ("twenty-one — or 22–23", "twenty one or 22 23"),
        ("  two\n\tlines\u00a0here ", "two lines here"),
        ("♪ la la ♪ $5 + 3", "la la 5 3"),
        ("ﬁlm ①", "film 1"),  # NFKC
        ("soft\u00adhyphen \ufeffmark \u202eturned\u202c", "softhyphen mark turned"),
        ("¿Qué? ¡Sí! «Oui»", "qué sí oui"),
        ("किया है।", "किया है"),  # vowel signs are marks: without them this would be another word
        ("க்ஷமிக்கவும்!", "க்ஷமிக்கவும்"),
        ("السَّلامُ عَلَيْكُم؟", "السَّلامُ عَلَيْكُم"),
        ("क्\u200dष", "क्ष"),  # a joiner changes how it looks, not what it says
        ("", ""),
        ("…?!", ""),
    ],
)
def test_what_is_compared(text: str, compared: str) -> None:
    assert normalised(text) == unicodedata.normalize("NFKC", compared)


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert normalised("Ära क़") == normalised(unicodedata.normalize("NFD", "ära क़"))


def test_normalising_again_changes_nothing() -> None:
    for text in ("İstanbul", "Straße ΟΔΟΣ", "Well-known…", "ﷺ", "①②"):
        assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("吾輩は猫である", True),
        ("สวัสดีครับ", True),
        ("ភាសាខ្មែរ", True),
        ("한국어 문장", False),
        ("Привет", False),
        ("12", False),
    ],
)
def test_scripts_that_put_no_spaces_between_words(text: str, expected: bool) -> None:
    assert is_without_spaces(text) is expected
