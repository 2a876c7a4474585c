"""Each kind of doubt is raised by what it is about, and by nothing that a film may hold."""

from dataclasses import replace

import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.separation.checks import LIMITS, Estimate, examine, find_click, is_hard, silenced
from stemscribe.separation.windows import Window

RATE = 1000
FRAMES = 1000
MIX = noise(FRAMES, level=1.0)
WINDOW = Window(3, 2250, 3250)


def estimate(*stems: Array, mix: Array = MIX, foretold: Array | None = None) -> Estimate:
    names = ("vocals",) if len(stems) == 1 else ("drums", "bass", "other", "vocals")[: len(stems)]
    return Estimate(WINDOW, RATE, names, mix, np.stack(stems), foretold)


def spoilt(value: float, *frames: int) -> Array:
    sound = MIX * np.float32(0.5)
    sound[1, list(frames)] = value
    return sound


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value: float) -> None:
    (doubt,) = examine(estimate(spoilt(value, 100, 249)))
    assert (doubt.window, doubt.kind, doubt.stem, doubt.evidence, doubt.unit) == (
        3,
        "not_finite",
        "vocals",
        2,
        "samples",
    )
    assert (doubt.start, doubt.end) == (2.35, 2.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_absurdly_loud_samples(sign: int) -> None:
    peak = float(np.abs(MIX).max())
    (doubt,) = examine(estimate(spoilt(sign * 12 * peak, 7)))
    assert (doubt.kind, doubt.evidence, doubt.unit) == ("too_loud", 12.0, "times the mix's peak")
    assert not examine(estimate(spoilt(sign * 9.9 * peak, 7)))


def test_what_is_loud_and_what_is_no_number_are_told_apart_by_stem() -> None:
    found = examine(estimate(MIX, spoilt(np.nan, 5), spoilt(-1e30, 9)))
    assert [(doubt.kind, doubt.stem) for doubt in found] == [("not_finite", "bass"), ("too_loud", "other")]


def test_of_next_to_silence_the_models_own_noise_may_be_many_times_louder() -> None:
    quiet = MIX * np.float32(1e-5)
    assert not examine(estimate(MIX * np.float32(1e-3), mix=quiet))


def test_what_cannot_be_used_becomes_silence_and_the_rest_stays() -> None:
    sound = spoilt(np.nan, 3)
    sound[0, 5], sound[0, 6] = 1e9, 99 * np.abs(MIX).max()
    expected = sound.copy()
    expected[1, 3] = expected[0, 5] = -0.25
    np.testing.assert_array_equal(silenced(estimate(sound), -0.25)[0], expected)


@pytest.mark.parametrize("value", [0.0, 0.125])
def test_a_stem_that_stands_still_is_dead(value: float) -> None:
    (doubt,) = examine(estimate(np.full_like(MIX, value)))
    assert (doubt.kind, doubt.stem, doubt.evidence, doubt.unit) == ("dead", "vocals", 1.0, "s")
    assert (doubt.start, doubt.end) == (2.25, 3.25)


def test_one_channel_that_stands_still_for_a_while_is_dead() -> None:
    sound = MIX * np.float32(0.5)
    sound[1, 290:610] = 0.0
    (doubt,) = examine(estimate(sound))
    assert (doubt.kind, doubt.evidence) == ("dead", 0.3)  # in whole tenths of a second
    assert (doubt.start, doubt.end) == (2.55, 2.85)


def test_a_film_without_voices_is_not_dead() -> None:
    whisper = np.float32(1e-7) * noise(FRAMES, seed=5, level=1.0)  # a hundredth of a step of 24 bit
    assert not examine(estimate(whisper))


def test_silence_in_silence_is_not_dead() -> None:
    mix = MIX.copy()
    mix[:, 300:700] = 0.5
    assert not examine(estimate(np.where(mix == 0.5, np.float32(0), mix), mix=mix))
    left_only = MIX * np.array([[1], [0]], np.float32)
    assert not examine(estimate(left_only, mix=left_only))


def test_one_side_may_be_silent_and_the_other_one_dead() -> None:
    left_only = MIX * np.array([[1], [0]], np.float32)
    assert [doubt.kind for doubt in examine(estimate(left_only * np.float32(0), mix=left_only))] == ["dead"]


def test_a_window_too_short_to_stand_still_in_is_not_dead() -> None:
    short = replace(estimate(MIX[:, :99] * np.float32(0), mix=MIX[:, :99]), window=Window(3, 2250, 2349))
    assert not examine(short)


def test_stems_that_are_far_from_adding_up() -> None:
    (doubt,) = examine(estimate(MIX * np.float32(0.5), MIX * np.float32(1.1)))
    assert (doubt.kind, doubt.stem, doubt.evidence) == ("sum", "", pytest.approx(20 * np.log10(0.6), abs=0.01))
    assert not examine(estimate(MIX * np.float32(0.5), MIX * np.float32(0.9)))


def test_vocals_alone_need_not_add_up_to_anything() -> None:
    assert not examine(estimate(MIX * np.float32(1e-3)))
    assert not examine(estimate(MIX * np.float32(3)))


def test_windows_that_contradict_each_other() -> None:
    shared = MIX[None, :, :250]
    (doubt,) = examine(estimate(MIX, foretold=shared * np.float32(-1.5)))
    assert (doubt.kind, doubt.evidence) == ("conflict", pytest.approx(20 * np.log10(2.5), abs=0.01))
    assert (doubt.start, doubt.end) == (2.25, 2.5)
    assert is_hard([doubt])


def test_a_change_of_mind_is_told_and_no_reason_to_try_again() -> None:
    (doubt,) = examine(estimate(MIX, foretold=np.zeros((1, 2, 250), np.float32)))
    assert (doubt.kind, doubt.evidence) == ("seam", 0.0)
    assert not is_hard([doubt])
    assert not examine(estimate(MIX, foretold=MIX[None, :, :250] * np.float32(0.6)))


def test_a_last_window_that_is_shorter_than_the_overlap_is_compared_as_far_as_it_goes() -> None:
    short = Estimate(
        Window(3, 2250, 2300), RATE, ("vocals",), MIX[:, :50], MIX[None, :, :50], -MIX[None, :, :250] * np.float32(0.8)
    )
    (doubt,) = examine(short)
    assert (doubt.kind, doubt.start, doubt.end) == ("seam", 2.25, 2.3)


def test_in_next_to_silence_the_models_own_noise_is_no_disagreement() -> None:
    quiet = MIX * np.float32(1e-4)
    foretold = noise(250, seed=8, level=1e-3)[None]
    assert not examine(estimate(quiet, mix=quiet, foretold=foretold))


def wave(frames: int = 200) -> Array:
    return np.tile(np.sin(np.arange(frames) / 5).astype(np.float32) * np.float32(0.3), (2, 1))


def test_a_step_that_only_the_stem_has_is_a_click() -> None:
    clicking = wave()
    clicking[:, 100:] += np.float32(0.5)
    doubt = find_click(WINDOW, 2250, RATE, "vocals", clicking, lambda: wave())
    assert doubt is not None
    assert (doubt.kind, doubt.window, doubt.start, doubt.stem) == ("click", 3, 2.25, "vocals")
    assert doubt.evidence == pytest.approx(0.5, abs=0.1)


def test_a_step_that_the_mix_has_too_or_that_is_nothing_special_is_none() -> None:
    clicking = wave()
    clicking[:, 100:] += np.float32(0.5)
    assert find_click(WINDOW, 2250, RATE, "vocals", clicking, lambda: clicking) is None
    assert find_click(WINDOW, 2250, RATE, "vocals", wave(), lambda: np.zeros_like(clicking)) is None
    inaudible = np.zeros_like(clicking)
    inaudible[:, 100:] = 0.9 * LIMITS.click_step
    assert find_click(WINDOW, 2250, RATE, "vocals", inaudible, lambda: np.zeros_like(clicking)) is None


def test_a_voice_that_sets_in_at_a_seam_is_no_click() -> None:
    setting_in = wave()
    setting_in[:, :100] = 0
    setting_in[:, 100:] = wave()[:, :100]
    assert find_click(WINDOW, 2250, RATE, "vocals", setting_in, lambda: np.zeros_like(setting_in)) is None
