"""Names that are shown, and lines that are logged."""

import io
import logging

import pytest

from stemscribe.wording import LegibleFormatter, legible, legible_lines


@pytest.mark.parametrize(
    "name", ["film.mkv", "फ़िल्म का नाम.mkv", "क्\u200dष", "日本\u3000語", "🎬 é\u00a0x", "שלום", "a'b\"c\\d"]
)
def test_what_people_write_is_shown_as_it_is(name: str) -> None:
    assert legible(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\x1b]0;x\x07", r"a\x1b]0;x\x07"),
        ("a\x9b2J", r"a\x9b2J"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b", r"a\u2028b"),
        ("a\udcffb", r"a\udcffb"),
    ],
)
def test_what_drives_a_terminal_is_spelt_out(name: str, shown: str) -> None:
    assert legible(name) == shown


def test_no_line_of_a_message_looks_like_another_message() -> None:
    assert legible_lines("one\n[INFO] ✓ two") == "one\n        [INFO] ✓ two"


def test_log_lines_are_legible_and_tracebacks_stay() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LegibleFormatter("[%(levelname)s] %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info("film %s", "a\x1b[31m\nb")
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("broken")
    first, second, *trace = stream.getvalue().splitlines()
    assert (first, second) == (r"[INFO] film a\x1b[31m", "        b")
    assert trace[:2] == ["[ERROR] broken", "Traceback (most recent call last):"]
