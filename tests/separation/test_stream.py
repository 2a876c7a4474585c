from pathlib import Path

import numpy as np
import pytest

from fakes import Array, FakeSeparator, noise
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.overlap_add import triangle
from stemscribe.separation.stream import Normalisation, ReadMix, plan_for, separate

WINDOW = 100
LENGTHS = [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 3]


def reader(mix: Array) -> ReadMix:
    def read(start: int, stop: int) -> Array:
        assert 0 <= start <= stop <= mix.shape[1]
        return mix[:, start:stop]

    return read


def streamed(folder: Path, mix: Array, separator: FakeSeparator, level: Normalisation, stop_after: int = 9999) -> Array:
    plan = plan_for(separator, mix.shape[1])
    with Journal(folder, Layout(plan, separator.stems, 2)) as journal:
        for window in separate(reader(mix), separator, plan, level, journal):
            if window.index + 1 == stop_after:
                break
        parts = [finished for _, finished in journal.finished()]
    return np.concatenate(parts, -1) if parts else np.zeros((len(separator.stems), 2, 0), np.float32)


def whole_array(mix: Array, separator: FakeSeparator, level: Normalisation) -> Array:
    """Demucs' `apply_model`, on everything at once."""
    normal = level.apply(mix)
    frames = mix.shape[1]
    total = np.zeros((len(separator.stems), 2, frames), np.float32)
    weights = np.zeros(frames, np.float32)
    for offset in range(0, frames, int(0.75 * WINDOW)):
        length = min(WINDOW, frames - offset)
        start = offset - (WINDOW - length) // 2
        seen = np.zeros((2, WINDOW), np.float32)
        for index in range(WINDOW):
            if 0 <= start + index < frames:
                seen[:, index] = normal[:, start + index]
        trimmed = separator.separate(seen)[..., (WINDOW - length) // 2 :][..., :length]
        total[..., offset : offset + length] += triangle(WINDOW)[:length] * trimmed
        weights[offset : offset + length] += triangle(WINDOW)[:length]
    return level.undo(total / weights)


class Scrambler(FakeSeparator):
    """Depends on where a frame lies in the window, and on its neighbours: any slip of a frame shows."""

    def separate(self, mix: Array) -> Array:
        position = np.linspace(-1, 1, self.window_frames, dtype=np.float32)
        return super().separate(mix) * position + np.roll(mix, 3, axis=-1)


@pytest.mark.parametrize("frames", [length for length in LENGTHS if length])
def test_streamed_equals_one_shot(tmp_path: Path, frames: int) -> None:
    mix, level = noise(frames), Normalisation(0.01, 0.2)
    separator = Scrambler((0.5, 2.0), ("vocals", "other"))
    np.testing.assert_array_equal(streamed(tmp_path, mix, separator, level), whole_array(mix, separator, level))


@pytest.mark.parametrize("frames", LENGTHS)
def test_an_identity_gives_the_mix_back(tmp_path: Path, frames: int) -> None:
    mix = noise(frames)
    stems = streamed(tmp_path, mix, FakeSeparator(), Normalisation(0.003, 0.1))
    # Normalising and back, weighting and back: four roundings of float32.
    np.testing.assert_allclose(stems, mix[None], atol=4e-7)


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_a_resumed_run_gives_the_same_bits_and_computes_nothing_twice(tmp_path: Path, stop_after: int) -> None:
    mix, level = noise(5 * WINDOW + 3), Normalisation(0.01, 0.2)
    undisturbed = streamed(tmp_path / "undisturbed", mix, Scrambler(), level)
    first, second = Scrambler(), Scrambler()
    streamed(tmp_path / "resumed", mix, first, level, stop_after)
    resumed = streamed(tmp_path / "resumed", mix, second, level)
    np.testing.assert_array_equal(resumed, undisturbed)
    assert first.windows + second.windows == len(plan_for(first, mix.shape[1]))


def test_silence_stays_silence(tmp_path: Path) -> None:
    stems = streamed(tmp_path, np.zeros((2, 250), np.float32), FakeSeparator(), Normalisation(0.0, 0.0))
    assert not stems.any()


def test_the_plan_of_the_real_model_is_that_of_demucs() -> None:
    plan = plan_for(FakeSeparator(window_frames=343_980), 1_000_000)
    assert plan.stride_frames == int((1 - 0.25) * 343_980) == 257_985
