from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemscribe.speech import regions
from stemscribe.speech.activity import HOP, Activity
from stemscribe.speech.regions import (
    RegionRules,
    Voiced,
    find_regions,
    find_speech,
    find_voices,
    usual_level,
    usual_levels,
)
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


def spans_of(voices: list[Voiced]) -> list[Region]:
    return [Region(voice.start, voice.end) for voice in voices]


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def usual_at_once(activity: Activity, rules: RegionRules) -> np.ndarray:
    """Of each hop, how loud vocals usually are around it; from percentiles of whole arrays."""

    def usual(first: int, last: int) -> float:
        return usual_level(activity.between(max(0, first), last), rules)

    side, block = round(rules.around / HOP / regions._BLOCK_HOPS), regions._BLOCK_HOPS
    starts = range(0, len(activity), block)
    levels = [usual(start - side * block, start + (side + 1) * block) for start in starts]
    least = usual(0, len(activity)) - rules.quieter_db
    return np.repeat(np.maximum(np.array(levels, np.float32), np.float32(least)), block)[: len(activity)]


def at_once(activity: Activity, rules: RegionRules) -> tuple[list[Region], list[Region], list[Region]]:
    """Regions, speech and voices as they are found, from whole arrays, one rule after the other."""
    speech = np.zeros(len(activity), np.bool_)
    for start, stop in runs(activity.speech >= rules.release):
        speech[start:stop] = (activity.speech[start:stop] >= rules.speech).any()
    level = activity.vocals_db
    loud = (level > rules.floor_db) & (level > usual_at_once(activity, rules) - rules.below_usual_db)
    voiced = speech | (loud & (level > activity.mix_db - rules.below_mix_db))
    for start, stop in runs(~voiced):
        if start > 0 and stop < len(voiced) and (stop - start) * HOP <= rules.bridge:
            voiced[start:stop] = True
    certain = speech.copy()
    for start, stop in runs(~speech):
        if start > 0 and stop < len(speech) and (stop - start) * HOP <= rules.bridge:
            certain[start:stop] = True
    voices: list[tuple[int, int]] = []
    extra = round(rules.pad / HOP)
    joined: list[tuple[int, int]] = []
    for start, stop in runs(voiced):
        if not speech[start:stop].any() and (stop - start) * HOP < rules.shortest:
            continue
        edges = [start, *(start + 1 + np.flatnonzero(np.diff(certain[start:stop]))).tolist(), stop]
        voices += pairwise(edges)
        start, stop = max(0, start - extra), min(len(voiced), stop + extra)
        if joined and (start - joined[-1][1]) * HOP <= rules.join:
            start = joined.pop()[0]
        joined.append((start, stop))
    levels = usual_levels(activity, rules)
    pieces = [piece for span in joined for piece in regions._cut(span, activity, levels, rules)]
    found = ([Region(a * HOP, b * HOP) for a, b in spans] for spans in (pieces, runs(speech), voices))
    return next(found), next(found), next(found)


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


def test_a_long_region_is_rather_cut_in_a_pause_than_where_a_word_is_quietest() -> None:
    found = activity(60, (5, 22, -22, 0.9), (22, 22.1, -80, 0.9), (22.1, 28, -22, 0.9), (28.5, 50, -22, 0.9))
    assert spans(found) == [(4.4, 28.3), (28.3, 50.6)]


def test_a_long_region_is_cut_in_the_middle_of_its_longest_pause() -> None:
    found = activity(60, (5, 22, -22, 0.9), (22.5, 25, -22, 0.9), (27, 28, -22, 0.9), (28.5, 50, -22, 0.9))
    assert spans(found) == [(4.4, 26.0), (26.0, 50.6)]


def test_a_loud_song_does_not_silence_quiet_dialogue_elsewhere() -> None:
    """The detector knows neither."""
    dialogue = [(start, start + 2.0, -33.0, 0.0) for start in range(10, 600, 10)]
    song = (1000.0, 1400.0, -8.0, 0.0)
    assert len(spans(activity(1500, *dialogue, mix_db=-30.0))) == len(dialogue)
    found = spans(activity(1500, *dialogue, song, mix_db=-30.0))
    assert len([region for region in found if region[0] < 900]) == len(dialogue)


def test_what_is_left_of_the_film_in_minutes_without_voices_is_no_voice() -> None:
    """It is usual there, and not so far below the quiet mix; but beside the voices of the film it is nothing."""
    talk = [(start, start + 2.0, -20.0, 0.9) for start in range(0, 300, 10)]
    hiss = (700.0, 1200.0, -57.0, 0.0)
    found = spans(activity(1500, *talk, hiss, mix_db=-50.0))
    assert len(found) == len(talk)


def test_usual_levels_are_those_of_the_minutes_around() -> None:
    drift = np.sin(np.arange(40_000) / 3000) * 15 - 35
    level = (drift + np.random.default_rng(0).standard_normal(40_000) * 8).astype(np.float32)
    nothing = np.zeros_like(level)
    found = Activity(nothing, nothing, nothing, level)
    rules = RegionRules(quieter_db=100.0)
    levels = usual_levels(found, rules)
    assert np.ptp(levels) > 10
    np.testing.assert_array_equal(np.repeat(levels, regions._BLOCK_HOPS)[: len(level)], usual_at_once(found, rules))


def test_voices_are_what_is_heard_without_room_around_it() -> None:
    found = activity(30, (5, 6, -22, 0.9), (6.2, 7, -22, 0.9), (7, 12, -22, 0.2), (20, 20.2, -22, 0.0))
    voices = list(find_voices(found))
    assert [(round(voice.start, 1), round(voice.end, 1)) for voice in voices] == [(5.0, 7.0), (7.0, 12.0)]
    assert [voice.speech for voice in voices] == [0.9, 0.2]
    assert voices[1].above_mix_db == -2.0


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
@given(steps, st.integers(3, 500), st.integers(50, 400))
def test_streamed_equals_one_shot(rows: list[tuple[int, float, float, float]], part: int, block: int) -> None:
    """However a film is parted, and wherever a voice begins or ends."""
    lengths = [length for length, *_ in rows]
    mix, vocals, chance = (
        np.repeat(np.array(column, np.float32), lengths) for column in list(zip(*rows, strict=True))[1:]
    )
    found = Activity(chance, np.zeros_like(chance), mix, vocals)
    rules = RegionRules(longest=8.0, around=8.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "_PART_HOPS", part)
        patch.setattr(regions, "_BLOCK_HOPS", block)
        voices = list(find_voices(found, rules))
        assert (list(find_regions(found, rules)), list(find_speech(found, rules)), spans_of(voices)) == at_once(
            found, rules
        )
        for voice in voices:
            span = slice(round(voice.start / HOP), round(voice.end / HOP))
            assert voice.speech == pytest.approx(chance[span].max(), abs=6e-4)
            power = [np.mean(10 ** (level[span].astype(np.float64) / 10)) for level in (vocals, mix)]
            assert voice.above_mix_db == pytest.approx(10 * np.log10(power[0] / power[1]), abs=0.06)


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-100, 19, width=32)), st.integers(1, 100))
def test_the_usual_level_is_a_percentile_to_a_hundredth_of_a_decibel(vocals: np.ndarray, percentile: int) -> None:
    nothing = np.zeros_like(vocals)
    rules = RegionRules(percentile=percentile)
    found = usual_level(Activity(nothing, nothing, nothing, vocals), rules)
    audible = vocals[vocals > rules.floor_db]
    place = -(-len(audible) * percentile // 100) - 1  # in whole numbers: NumPy's own is off by one where it rounds
    wanted = np.sort(audible)[place] if len(audible) else 0.0
    assert found == pytest.approx(wanted, abs=0.0101)
