from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.errors import UsageError
from stemscribe.subtitles.rules import CueRules, milliseconds
from stemscribe.subtitles.timing import Speech, schedule

RULES = CueRules()
FAR = 100_000


def test_nothing_spoken_is_nothing_shown() -> None:
    assert schedule([], RULES) == []


def test_a_cue_without_duration_borrows_the_silence_after_it() -> None:
    assert schedule([Speech(1000, 1000, 3), Speech(FAR, FAR, 3)], RULES)[0] == (1000, 1700)


def test_where_there_is_no_silence_the_next_cue_is_shortened() -> None:
    assert schedule([Speech(0, 200, 3), Speech(200, 3000, 3)], RULES) == [(0, 700), (700, 3000)]


def test_the_last_cues_begin_earlier_when_there_is_no_time_after_them() -> None:
    assert schedule([Speech(0, 5000, 9), Speech(5000, 5000, 3), Speech(5000, 5000, 3)], RULES) == [
        (0, 4220),
        (4300, 5000),
        (5000, 5700),
    ]


def test_time_that_is_too_short_for_all_is_shared_equally() -> None:
    assert schedule([Speech(0, 0, 3)] * 7, RULES) == [(start, start + 100) for start in range(0, 700, 100)]


def test_more_cues_than_milliseconds_still_follow_each_other() -> None:
    assert schedule([Speech(0, 0, 3)] * 800, RULES) == [(start, start + 1) for start in range(800)]


def test_a_long_silence_under_one_word_is_cut_off() -> None:
    assert schedule([Speech(0, 30_000, 3)], RULES) == [(0, 7000)]


def test_short_gaps_are_closed_and_long_ones_kept() -> None:
    spoken = [Speech(0, 1000, 3), Speech(1300, 2000, 3), Speech(2600, 3000, 3)]
    assert schedule(spoken, RULES) == [(0, 1220), (1300, 2000), (2600, 3300)]


def test_a_cue_stays_until_it_can_be_read_but_not_into_the_next() -> None:
    fast = Speech(0, 1000, 60)
    assert schedule([fast, Speech(FAR, FAR, 3)], RULES)[0] == (0, 3000)
    assert schedule([fast, Speech(2000, 4000, 3)], RULES)[0] == (0, 1920)


def test_the_last_cue_stays_until_it_can_be_read() -> None:
    assert schedule([Speech(0, 1000, 60)], RULES) == [(0, 3000)]
    assert schedule([Speech(0, 1000, 200)], RULES) == [(0, 7000)]


times = st.integers(0, 30_000)
speeches = st.lists(st.tuples(times, times, st.integers(1, 84)), min_size=1).map(
    lambda rows: [Speech(start, start + length // 4, count) for start, length, count in sorted(rows)]
)


@given(speeches)
def test_cues_never_overlap_and_last_as_long_as_there_is_time(spoken: list[Speech]) -> None:
    shown = schedule(spoken, RULES)
    end_of_all = max(speech.end for speech in spoken) + 700
    shortest = min(700, (end_of_all - spoken[0].start) // len(spoken))
    assert all(before[1] <= after[0] for before, after in pairwise(shown))
    assert all(shortest <= end - start <= 7000 for start, end in shown)
    assert spoken[0].start <= shown[0][0]
    assert shown[-1][1] <= max(end_of_all, shown[-1][0] + min(7000, 50 * spoken[-1].characters))


@given(speeches)
def test_a_cue_can_be_read_unless_the_next_one_comes_or_it_would_stay_too_long(spoken: list[Speech]) -> None:
    """Twenty characters a second where possible: what is shown for less stays as long as it may."""
    roomy = [*spoken, Speech(FAR, FAR + 1000, 60)]
    shown = schedule(roomy, RULES)
    for speech, (start, end), following in zip(roomy, shown, [*shown[1:], None], strict=True):
        is_long = end - start == 7000
        is_pressed = following is not None and following[0] - end <= 80
        assert end - start >= 50 * speech.characters or is_long or is_pressed


@given(speeches)
def test_between_two_cues_is_a_gap_unless_one_would_be_too_short(spoken: list[Speech]) -> None:
    roomy = [*spoken, Speech(FAR, FAR + 1000, 3)]
    for (start, end), (following, _) in pairwise(schedule(roomy, RULES)):
        gap = following - end
        assert gap >= 80 or end - start == 700
        assert gap == 80 or gap < 80 or gap >= 500 or end - start in {700, 7000}, "a flicker"


@given(speeches)
def test_no_cue_begins_before_its_words_while_there_is_time(spoken: list[Speech]) -> None:
    roomy = [*spoken, Speech(FAR, FAR + 1000, 3)]
    assert all(start >= speech.start for speech, (start, _) in zip(roomy, schedule(roomy, RULES), strict=True))


def test_milliseconds_are_never_negative() -> None:
    assert milliseconds(-2.0) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"line_length": 1},
        {"lines": 0},
        {"lines": 4},
        {"shortest": 8.0},
        {"shortest": 0.0},
        {"reading_speed": 0.0},
        {"gap": -1.0},
    ],
)
def test_rules_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        CueRules(**wrong)  # type: ignore[arg-type]
