from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemscribe.speech import regions
from stemscribe.speech.activity import HOP, Activity
from stemscribe.speech.regions import RegionRules, find_regions, find_speech, usual_level
from stemscribe.transcript import Region

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


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def at_once(activity: Activity, usual: float, rules: RegionRules) -> tuple[list[Region], list[Region]]:
    """Regions and speech as `find_regions` and `find_speech` find them, from whole arrays, one rule after the other."""
    speech = np.zeros(len(activity), np.bool_)
    for start, stop in runs(activity.speech >= rules.release):
        speech[start:stop] = (activity.speech[start:stop] >= rules.speech).any()
    level = activity.vocals_db
    loud = (level > rules.floor_db) & (level > usual - rules.below_usual_db)
    voiced = speech | (loud & (level > activity.mix_db - rules.below_mix_db))
    for start, stop in runs(~voiced):
        if start > 0 and stop < len(voiced) and (stop - start) * HOP <= rules.bridge:
            voiced[start:stop] = True
    extra = round(rules.pad / HOP)
    joined: list[tuple[int, int]] = []
    for start, stop in runs(voiced):
        if not speech[start:stop].any() and (stop - start) * HOP < rules.shortest:
            continue
        start, stop = max(0, start - extra), min(len(voiced), stop + extra)
        if joined and (start - joined[-1][1]) * HOP <= rules.join:
            start = joined.pop()[0]
        joined.append((start, stop))
    pieces = [piece for span in joined for piece in regions._cut(span, activity, rules.longest)]
    return [Region(a * HOP, b * HOP) for a, b in pieces], [Region(a * HOP, b * HOP) for a, b in runs(speech)]


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


loudness = st.sampled_from([-90.0, -59.0, -40.0, -25.0, -10.0])
steps = st.lists(
    st.tuples(st.integers(1, 3) | st.integers(1, 300), loudness, loudness, st.sampled_from([0.0, 0.4, 0.9])),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(steps, st.integers(3, 500))
def test_streamed_equals_one_shot(rows: list[tuple[int, float, float, float]], part: int) -> None:
    """However a film is parted, and wherever a voice begins or ends."""
    lengths = [length for length, *_ in rows]
    mix, vocals, chance = (
        np.repeat(np.array(column, np.float32), lengths) for column in list(zip(*rows, strict=True))[1:]
    )
    found = Activity(chance, np.zeros_like(chance), mix, vocals)
    rules = RegionRules(longest=8.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "_PART_HOPS", part)
        wanted = at_once(found, usual_level(found, rules), rules)
        assert (list(find_regions(found, rules)), list(find_speech(found, rules))) == wanted


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-100, 19, width=32)), st.integers(1, 100))
def test_the_usual_level_is_a_percentile_to_a_hundredth_of_a_decibel(vocals: np.ndarray, percentile: int) -> None:
    nothing = np.zeros_like(vocals)
    rules = RegionRules(percentile=percentile)
    found = usual_level(Activity(nothing, nothing, nothing, vocals), rules)
    audible = vocals[vocals > rules.floor_db]
    wanted = np.percentile(audible.astype(np.float64), percentile, method="inverted_cdf") if len(audible) else 0.0
    assert found == pytest.approx(wanted, abs=0.0101)
