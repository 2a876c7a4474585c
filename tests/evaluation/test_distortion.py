"""Decibels with known answers: sines of whole periods are orthogonal, so that powers can be written down."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemscribe.errors import MediaError
from stemscribe.evaluation.distortion import RATE, Distortion, distortion, mean_distortion

SECONDS = 3


def sine(hertz: float, level: float, seconds: float = SECONDS) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.tile(level * np.sin(2 * np.pi * hertz * time)[:, None], (1, 2))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


@pytest.fixture
def true(tmp_path: Path) -> Path:
    return write(tmp_path / "true.wav", sine(440, 0.5))


def test_orthogonal_noise_of_known_power(tmp_path: Path, true: Path) -> None:
    found = distortion(true, write(tmp_path / "e.wav", sine(440, 0.5) + sine(1000, 0.05)))
    assert found.sdr == pytest.approx(20.0, abs=0.01)
    assert found.si_sdr == pytest.approx(20.0, abs=0.01)
    assert found.sdr_median == pytest.approx(20.0, abs=0.01)
    assert found.seconds == SECONDS
    assert found.gain is None


def test_the_level_counts_for_sdr_alone(tmp_path: Path, true: Path) -> None:
    found = distortion(true, write(tmp_path / "e.wav", 0.5 * (sine(440, 0.5) + sine(1000, 0.05))))
    assert found.si_sdr == pytest.approx(20.0, abs=0.01)
    # What is left of the sine differs by half of it, and the noise by a quarter of its power.
    assert found.sdr == pytest.approx(-10 * math.log10(0.25 + 0.01 / 4), abs=0.01)


def test_a_level_that_is_known_is_taken_back(tmp_path: Path, true: Path) -> None:
    found = distortion(true, write(tmp_path / "e.wav", 0.5 * (sine(440, 0.5) + sine(1000, 0.05))), level=0.5)
    assert found.sdr == pytest.approx(20.0, abs=0.01)


def test_a_stem_that_is_right_to_the_last_bit_is_at_the_limit(true: Path) -> None:
    assert distortion(true, true).sdr == 150.0
    assert distortion(true, true).si_sdr == 150.0


def test_differences_of_ninety_decibels_are_told(tmp_path: Path, true: Path) -> None:
    small = 0.5 * 10 ** (-90 / 20)
    found = distortion(true, write(tmp_path / "e.wav", sine(440, 0.5) + sine(1000, small)))
    assert found.si_sdr == pytest.approx(90.0, abs=0.1)


def test_the_gain_is_over_the_mixture(tmp_path: Path, true: Path) -> None:
    mixture = write(tmp_path / "m.wav", sine(440, 0.5) + sine(1000, 0.25))
    found = distortion(true, write(tmp_path / "e.wav", sine(440, 0.5) + sine(1000, 0.05)), mixture)
    assert found.gain == pytest.approx(20.0 - 20 * math.log10(2), abs=0.01)


def test_the_median_second_is_not_moved_by_one_bad_one(tmp_path: Path, true: Path) -> None:
    estimate = sine(440, 0.5) + sine(1000, 0.05)
    estimate[:RATE] = 0
    found = distortion(true, write(tmp_path / "e.wav", estimate))
    assert found.sdr_median == pytest.approx(20.0, abs=0.01)
    assert found.sdr is not None
    assert found.sdr < 6


def test_seconds_in_which_the_true_stem_is_silent_do_not_count_for_the_median(tmp_path: Path) -> None:
    reference = sine(440, 0.5)
    reference[RATE:] = 0
    true = write(tmp_path / "true.wav", reference)
    found = distortion(true, write(tmp_path / "e.wav", reference + sine(1000, 0.05)))
    assert found.sdr_median == pytest.approx(20.0, abs=0.01)


def test_a_stem_that_ends_early_is_silent_then(tmp_path: Path, true: Path) -> None:
    half = distortion(true, write(tmp_path / "e.wav", sine(440, 0.5, SECONDS / 2)))
    assert half.sdr == pytest.approx(10 * math.log10(2), abs=0.01)
    longer = distortion(true, write(tmp_path / "l.wav", sine(440, 0.5, SECONDS + 1)))
    assert longer.sdr == 150.0


def test_a_silent_stem_has_no_figures(tmp_path: Path, true: Path) -> None:
    silent = write(tmp_path / "s.wav", np.zeros((RATE, 2)))
    assert distortion(silent, true) == Distortion(None, None, None, None, 1.0)
    assert distortion(true, silent).si_sdr is None  # nothing of the true stem is in it, at any level
    assert distortion(true, silent).sdr == pytest.approx(0.0)


def test_other_rates_channels_and_formats_are_compared_alike(tmp_path: Path, true: Path) -> None:
    time = np.arange(SECONDS * 48000) / 48000
    mono = 0.5 * np.sin(2 * np.pi * 440 * time)
    found = distortion(true, write(tmp_path / "e.wav", mono, 48000))
    assert found.si_sdr is not None
    assert found.si_sdr > 50  # the resampler's beginning and end
    soundfile.write(tmp_path / "e.flac", sine(440, 0.5), RATE, subtype="PCM_24")
    flac = distortion(true, tmp_path / "e.flac").si_sdr
    assert flac is not None
    assert flac > 120


def test_what_cannot_be_read_is_said(tmp_path: Path, true: Path) -> None:
    (tmp_path / "e.wav").write_text("no sound " * 50)
    with pytest.raises(MediaError, match=r"e\.wav is not"):
        distortion(true, tmp_path / "e.wav")


def test_means_are_over_what_is_defined() -> None:
    stems = [Distortion(10.0, 8.0, 9.0, None, 2.0), Distortion(20.0, 12.0, None, 5.0, 3.0)]
    assert mean_distortion(stems) == Distortion(15.0, 10.0, 9.0, 5.0, 5.0)
