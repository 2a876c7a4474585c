"""The spectrogram that Spleeter was trained on, and its way back, in NumPy.

After deezer/spleeter, `spleeter/model/__init__.py` (`_build_stft_feature`, `_inverse_stft`): frames of 4096 every 1024
with a periodic Hann window, not scaled; before the signal a frame of silence, behind it as much of it as the last
frames want. So four frames meet wherever there is signal, their squared windows add up to 3/2 there, and the way back
is exact. HTDemucs' spectrogram has the same frames and little else: it is scaled, reflects the signal at its ends, and
drops what lies there and the highest bin (`stemscribe.separation.spectrogram`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array

FFT_FRAMES = 4096
HOP_FRAMES = 1024
_OVERLAP = FFT_FRAMES // HOP_FRAMES
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_FRAMES) / FFT_FRAMES)).astype(np.float32)
_BACK = _HANN * np.float32(2 / 3)
_FEW = 32

Spectrum = npt.NDArray[np.complex64]


def analyse(signal: Array) -> Spectrum:
    """The spectrogram of a signal.

    Args:
        signal: `[channels, frames]`.

    Returns:
        `[channels, ceil(frames / 1024) + 4, 2049]`.
    """
    hops = -(-signal.shape[-1] // HOP_FRAMES) + _OVERLAP
    padded = np.zeros((signal.shape[0], (hops - 1) * HOP_FRAMES + FFT_FRAMES), np.float32)
    padded[:, FFT_FRAMES : FFT_FRAMES + signal.shape[-1]] = signal
    framed = np.lib.stride_tricks.sliding_window_view(padded, FFT_FRAMES, axis=-1)[:, ::HOP_FRAMES]
    spectrum = np.empty((signal.shape[0], hops, FFT_FRAMES // 2 + 1), np.complex64)
    for few in _few_at_a_time(hops):
        spectrum[:, few] = np.fft.rfft(framed[:, few] * _HANN)
    return spectrum


def synthesise(spectrum: Spectrum, frames: int) -> Array:
    """The signal of a spectrogram as `analyse` gives it.

    Args:
        spectrum: `[channels, ceil(frames / 1024) + 4, 2049]`.
        frames: length of the signal.

    Returns:
        `[channels, frames]`.
    """
    channels, hops, _ = spectrum.shape
    framed = np.empty((channels, hops, FFT_FRAMES), np.float32)
    for few in _few_at_a_time(hops):
        framed[:, few] = np.fft.irfft(spectrum[:, few], n=FFT_FRAMES) * _BACK
    quarters = framed.reshape(channels, hops, _OVERLAP, HOP_FRAMES)
    total = np.zeros((channels, hops + _OVERLAP - 1, HOP_FRAMES), np.float32)
    for quarter in range(_OVERLAP):
        total[:, quarter : quarter + hops] += quarters[:, :, quarter]
    return total.reshape(channels, -1)[:, FFT_FRAMES : FFT_FRAMES + frames]


def _few_at_a_time(hops: int) -> Iterator[slice]:
    """Hops in parts of a megabyte: what is computed of them stays in the cache, and needs no memory to be cleared."""
    return (slice(start, start + _FEW) for start in range(0, hops, _FEW))
