import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.separation.engines.spleeter_spectrogram import FFT_FRAMES, HOP_FRAMES, analyse, synthesise


def plain(signal: Array) -> Array:
    """TensorFlow's `stft(pad_end=True)` behind 4096 frames of silence, frame by frame in float64."""
    sound = np.concatenate([np.zeros((2, 4096)), signal.astype(np.float64)], axis=1)
    hann = np.sin(np.pi * np.arange(4096) / 4096) ** 2
    columns = []
    for start in range(0, sound.shape[1], 1024):
        frame = sound[:, start : start + 4096]
        frame = np.pad(frame, ((0, 0), (0, 4096 - frame.shape[1])))
        columns.append(np.fft.rfft(frame * hann))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("frames", [0, 1, 1024, 5000, 40 * 1024])
def test_the_spectrogram_is_that_of_spleeter(frames: int) -> None:
    signal = noise(frames)
    spectrum = analyse(signal)
    assert (spectrum.shape, spectrum.dtype) == ((2, -(-frames // HOP_FRAMES) + 4, FFT_FRAMES // 2 + 1), np.complex64)
    np.testing.assert_allclose(spectrum, plain(signal), atol=1e-4)  # float32 FFTs of values near 20


@pytest.mark.parametrize("frames", [1, 1000, 1024, 5000, 40 * 1024])
def test_synthesis_undoes_analysis_up_to_both_ends(frames: int) -> None:
    signal = noise(frames)
    back = synthesise(analyse(signal), frames)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, signal, atol=2e-7)


def test_constant_comes_back_as_the_same_constant() -> None:
    ones = np.ones((2, 8192), np.float32)
    np.testing.assert_allclose(synthesise(analyse(ones), 8192), ones, atol=1e-6)
