from __future__ import annotations

from stemscribe.subtitles import text
from stemscribe.transcript import Segment, Transcript, Word

SPOKEN = Transcript(
    "en",
    (
        Segment(12.9, 14.0, " What brings you here?", "en"),
        Segment(
            15.0, 19.0, "", "en", (Word(15.0, 15.5, " I'm searching", 0.9), Word(18.0, 19.0, " for\nsomeone.", 0.9))
        ),
        Segment(3725.0, 3726.0, "बहुत अच्छा।", "hi"),
    ),
)


def test_a_pause_begins_a_paragraph_even_inside_a_segment() -> None:
    assert text.render(SPOKEN) == "What brings you here? I'm searching\n\nfor someone.\n\nबहुत अच्छा।\n"


def test_a_paragraph_may_carry_its_time() -> None:
    assert text.render(SPOKEN, times=True, pause=3.0) == (
        "[0:12] What brings you here? I'm searching for someone.\n\n[1:02:05] बहुत अच्छा।\n"
    )


def test_a_long_word_stays_whole() -> None:
    assert text.render(Transcript("en", (Segment(0, 1, "x" * 500, "en"),))) == "x" * 500 + "\n"


def test_silence_is_an_empty_file() -> None:
    assert text.render(Transcript("en", ())) == ""
    assert text.render(Transcript("en", (Segment(0, 1, " ", "en"),)), times=True) == ""
