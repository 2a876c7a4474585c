import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.separation.spectrogram import BINS, FFT_FRAMES, HOP_FRAMES, analyse, synthesise


def plain(signal: Array) -> Array:
    """HTDemucs' `_spec`, frame by frame in float64, with the padding written out."""
    hops = -(-signal.shape[1] // HOP_FRAMES)
    right = 1536 + hops * HOP_FRAMES - signal.shape[1]
    padded = np.pad(signal.astype(np.float64), ((0, 0), (1536, right)), mode="reflect")
    padded = np.pad(padded, ((0, 0), (FFT_FRAMES // 2, FFT_FRAMES // 2)), mode="reflect")
    hann = np.sin(np.pi * np.arange(FFT_FRAMES) / FFT_FRAMES) ** 2
    columns = []
    for hop in range(2, 2 + hops):
        frame = padded[:, hop * HOP_FRAMES : hop * HOP_FRAMES + FFT_FRAMES]
        columns.append(np.fft.rfft(frame * hann, axis=-1)[:, :BINS] / 64)
    spectrum = np.stack(columns, -1)
    return np.concatenate([part for channel in spectrum for part in (channel.real[None], channel.imag[None])])


@pytest.mark.parametrize("frames", [4000, 8192, 10_000, 343_980 // 8])
def test_the_spectrogram_is_that_of_htdemucs(frames: int) -> None:
    signal = noise(frames)
    spectrogram = analyse(signal)
    assert spectrogram.shape == (4, 2048, -(-frames // 1024))
    np.testing.assert_allclose(spectrogram, plain(signal), atol=2e-6)  # float32 FFTs of values near 1


def test_synthesis_undoes_analysis() -> None:
    frames = 40_000
    time = np.arange(frames) / 44_100
    # Below the highest bin, which HTDemucs leaves out.
    signal = np.stack([np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 9000 * time)]).astype(np.float32)
    back = synthesise(analyse(signal), frames)
    middle = slice(4096, -4096)  # at the ends two frames of the reflection are dropped by design
    np.testing.assert_allclose(back[:, middle], signal[:, middle], atol=2e-5)


def test_several_stems_are_brought_back_at_once() -> None:
    spectra = np.stack([analyse(noise(8192, seed=seed)) for seed in range(3)])
    together = synthesise(spectra, 8192)
    assert together.shape == (3, 2, 8192)
    for stem in range(3):
        np.testing.assert_array_equal(together[stem], synthesise(spectra[stem], 8192))
