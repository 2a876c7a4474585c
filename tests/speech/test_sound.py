import numpy as np
import pytest

from sounds import sound
from stemscribe.speech.sound import SAMPLE_RATE, Sound


def test_blends_are_the_vocals_with_some_of_the_mix() -> None:
    region = sound(1.0, [(0.2, 0.8)], music=0.05)
    assert region.heard_as("mix") is region.mix
    np.testing.assert_array_equal(region.heard_as("vocals"), region.vocals)
    np.testing.assert_allclose(region.heard_as("blend-20"), region.vocals + 0.2 * region.mix, atol=1e-7)
    np.testing.assert_allclose(region.heard_as("blend-35"), region.vocals + 0.35 * region.mix, atol=1e-7)


@pytest.mark.parametrize(("music", "expected"), [(0.1, 0.0), (0.01, 20.0), (1.0, -20.0)])
def test_voices_are_measured_against_everything_else(music: float, expected: float) -> None:
    assert sound(4.0, [(0.0, 4.0)], music=music).voices_over_music_db == pytest.approx(expected, abs=0.2)


def test_silence_is_no_division_by_zero() -> None:
    nothing = Sound(3.0, np.zeros(0, np.float32), np.zeros(0, np.float32))
    assert nothing.voices_over_music_db == 0.0
    assert nothing.voiced_share(3.0, 4.0) == 0.0
    assert nothing.voiced_within(3.0, 3.5) == (3.0, 3.5)
    assert nothing.voiced_until(3.0, 3.5) >= 3.0


def test_where_voices_are_within_a_span() -> None:
    region = sound(10.0, [(102.0, 104.0)], start=100.0)
    assert region.voiced_share(100.0, 104.0) == pytest.approx(0.5, abs=0.01)
    assert region.voiced_share(105.0, 106.0) == 0.0
    assert region.voiced_within(101.0, 103.0) == pytest.approx((102.0, 103.0), abs=0.011)
    assert region.voiced_within(103.0, 109.0) == pytest.approx((103.0, 104.0), abs=0.011)
    assert region.voiced_within(105.0, 106.0) == (105.0, 106.0)
    assert region.voiced_until(103.0, 110.0) == pytest.approx(104.0, abs=0.011)
    assert region.voiced_until(103.0, 103.5) == 103.5
    assert region.voiced_until(105.0, 110.0) == 105.0


def test_what_separation_leaves_of_music_is_no_voice() -> None:
    band = np.random.default_rng(1).standard_normal(4 * SAMPLE_RATE).astype(np.float32)
    left = Sound(0.0, band, 0.03 * band)  # 30 dB below the mix
    assert left.voiced_share(0.0, 4.0) == 0.0
