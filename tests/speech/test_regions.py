from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemscribe.speech.activity import HOP, Activity
from stemscribe.speech.regions import find_regions, find_speech

SILENT = -90.0


def activity(seconds: float, *voices: tuple[float, float, float, float], mix_db: float = -20.0) -> Activity:
    """Silence with voices: each from, to, level of the vocals in dB, and probability of speech."""
    hops = round(seconds / HOP)
    vocals, speech = np.full(hops, SILENT, np.float32), np.zeros(hops, np.float32)
    for start, stop, level, probability in voices:
        span = slice(round(start / HOP), round(stop / HOP))
        vocals[span], speech[span] = level, probability
    mix = np.full(hops, mix_db, np.float32)
    return Activity(np.zeros(hops, np.float32), speech, mix, vocals)


def spans(found: Activity) -> list[tuple[float, float]]:
    return [(round(region.start, 1), round(region.end, 1)) for region in find_regions(found)]


def test_speech_is_found_with_room_around_it() -> None:
    assert spans(activity(20, (5, 8, -22, 0.9))) == [(4.4, 8.6)]


def test_what_the_detector_misses_the_energy_of_the_vocals_finds() -> None:
    assert spans(activity(20, (5, 8, -22, 0.0))) == [(4.4, 8.6)]


def test_what_is_too_quiet_for_the_energy_the_detector_finds() -> None:
    assert spans(activity(40, (5, 8, -20, 0.9), (20, 23, -55, 0.9))) == [(4.4, 8.6), (19.4, 23.6)]


def test_one_shout_does_not_silence_the_rest() -> None:
    talk = [(start, start + 2.0, -30.0, 0.0) for start in range(0, 100, 5)]
    assert len(spans(activity(110, *talk))) == 20
    assert len(spans(activity(110, *talk, (105, 106, 0.0, 0.0)))) == 21


def test_what_separation_leaves_of_music_alone_is_not_a_voice() -> None:
    assert spans(activity(20, (5, 8, -45, 0.0))) == []


def test_a_click_is_not_a_voice_but_a_short_word_is() -> None:
    assert spans(activity(20, (5, 5.2, -22, 0.0))) == []
    assert spans(activity(20, (5, 5.2, -22, 0.9))) == [(4.4, 5.8)]


def test_neighbours_are_heard_together() -> None:
    assert spans(activity(20, (5, 7, -22, 0.9), (8.5, 10, -22, 0.9))) == [(4.4, 10.6)]
    assert spans(activity(20, (5, 7, -22, 0.9), (10.5, 12, -22, 0.9))) == [(4.4, 7.6), (9.9, 12.6)]


def test_a_long_region_is_cut_at_its_quietest_point() -> None:
    found = activity(60, (5, 25, -22, 0.9), (25, 25.3, -50, 0.9), (25.3, 50, -22, 0.9))
    first, second = spans(found)
    assert first[0] == 4.4
    assert first[1] == second[0] == pytest.approx(25.15, abs=0.2)
    assert second[1] == 50.6


def test_no_region_is_a_sliver() -> None:
    falling = activity(31, (0, 31, -20, 0.9))
    falling.vocals_db[:] = np.linspace(-10, -40, len(falling.vocals_db))
    assert min(region.duration for region in find_regions(falling)) > 7


def test_evidence_of_speech_is_what_the_detector_says() -> None:
    (region,) = find_speech(activity(20, (5, 8, -22, 0.9), (10, 15, -22, 0.0)))
    assert (region.start, region.end) == (pytest.approx(5, abs=HOP), pytest.approx(8, abs=HOP))


def test_nothing_in_nothing_out() -> None:
    assert spans(activity(0)) == []
    assert spans(activity(10)) == []


levels = arrays(np.float32, 3000, elements=st.floats(-100, 0, width=32))
chances = arrays(np.float32, 3000, elements=st.floats(0, 1, width=32))


@given(levels, levels, chances)
def test_regions_are_in_order_short_enough_and_hold_all_speech(
    mix: np.ndarray, vocals: np.ndarray, speech: np.ndarray
) -> None:
    found = Activity(speech, np.zeros_like(speech), mix, vocals)
    regions = find_regions(found)
    for before, after in pairwise(regions):
        assert before.end <= after.start
    for region in regions:
        assert 0 <= region.start < region.end <= 3000 * HOP + 1e-6
        assert region.duration <= 30.0
    for sure in find_speech(found):
        assert any(region.start <= sure.start and sure.start < region.end for region in regions)
