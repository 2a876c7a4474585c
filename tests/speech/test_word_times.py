from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sounds import said, sound
from stemscribe.speech.word_times import LONGEST_TAIL, SHORTEST, settled
from stemscribe.transcript import Region, Segment, Word

REGION = Region(0.0, 10.0)
VOICES = sound(10.0, [(2.0, 4.0), (6.0, 7.0)])


def test_words_begin_and_end_with_the_voice() -> None:
    loose = Segment(
        1.0,
        6.9,
        "Go home. Now",
        "en",
        (Word(1.0, 2.6, " Go", 1), Word(2.6, 3.9, " home.", 1), Word(4.5, 6.9, " Now", 1)),
    )
    (segment,) = settled([loose], REGION, VOICES)
    times = [(word.start, word.end) for word in segment.words]
    assert times[0] == pytest.approx((2.0, 2.6), abs=0.011)
    assert times[1] == pytest.approx((2.6, 4.0), abs=0.011)  # a word cut short goes on with its voice
    assert times[2] == pytest.approx((6.0, 7.0), abs=0.011)
    assert (segment.start, segment.end) == (times[0][0], times[-1][1])
    assert segment.text == "Go home. Now"


def test_a_word_goes_on_no_further_than_whisper_errs() -> None:
    (segment,) = settled([Segment(2.0, 2.5, "Oh", "en", (Word(2.0, 2.5, " Oh", 1),))], REGION, VOICES)
    assert segment.end == pytest.approx(2.5 + LONGEST_TAIL, abs=0.011)


def test_words_in_silence_stay_where_they_were() -> None:
    (segment,) = settled([said("hm", 8.0)], REGION, VOICES)
    assert (segment.start, segment.end) == (8.0, 8.4)


def test_words_beyond_the_region_are_brought_into_it() -> None:
    (segment,) = settled([said("a b c", 9.5, pace=1.0)], REGION, VOICES)
    assert all(0.0 <= word.start <= word.end <= 10.0 for word in segment.words)


spans = st.lists(st.tuples(st.floats(-1, 11), st.floats(0, 3)), min_size=1, max_size=8)


@given(st.lists(spans, min_size=1, max_size=4))
def test_words_follow_each_other_within_the_region(rows: list[list[tuple[float, float]]]) -> None:
    segments = [
        Segment(
            row[0][0], row[0][0] + 1, "x", "en", tuple(Word(start, start + length, " x", 1) for start, length in row)
        )
        for row in rows
    ]
    found = list(settled(segments, REGION, VOICES))
    assert [len(segment.words) for segment in found] == [len(row) for row in rows]
    words = [word for segment in found for word in segment.words]
    assert all(REGION.start <= word.start <= word.end <= REGION.end for word in words)
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert all(word.end - word.start >= SHORTEST - 1e-9 for word in words if word.end < REGION.end - SHORTEST)
