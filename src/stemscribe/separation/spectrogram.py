"""The spectrogram that HTDemucs was trained on, and its way back, in NumPy.

After adefossez/demucs, `demucs/htdemucs.py` (`_spec`, `_ispec`, `_magnitude`, `_mask`) and `demucs/spec.py`: frames
of 4096 every 1024 with a periodic Hann window, scaled by 1/√4096. The signal is reflected by one and a half hops so
that the number of frames is the length over the hop, rounded up; two frames more at either end and the highest bin
are dropped. Complex numbers go through the network as two channels. PyTorch's `stft` and `istft` are written out here
because the network's inputs and outputs are those of a graph, and no torch is wanted in the core environment.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.concurrency import at_once

FFT_FRAMES = 4096
HOP_FRAMES = 1024
BINS = FFT_FRAMES // 2
EDGE_HOPS = 2  # frames that only exist because of the padding, at either end
_PAD = 3 * HOP_FRAMES // 2
_FEW = 32
_SCALE = np.float32(1 / np.sqrt(FFT_FRAMES))
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_FRAMES) / FFT_FRAMES)).astype(np.float32)


def analyse(signal: Array) -> Array:
    """The spectrogram of a signal, complex as channels.

    Args:
        signal: `[channels, frames]`, longer than 3584 frames (the reflection needs them).

    Returns:
        `[2 * channels, 2048, ceil(frames / 1024)]`: real and imaginary parts of each channel in turn.
    """
    channels, hops = signal.shape[0], -(-signal.shape[-1] // HOP_FRAMES)
    padded = _reflected(signal, _PAD, _PAD + hops * HOP_FRAMES - signal.shape[-1])
    padded = _reflected(padded, FFT_FRAMES // 2, FFT_FRAMES // 2)
    framed = np.lib.stride_tricks.sliding_window_view(padded, FFT_FRAMES, axis=-1)[..., ::HOP_FRAMES, :]
    framed = framed[..., EDGE_HOPS : EDGE_HOPS + hops, :]
    parts = np.empty((channels, 2, BINS, hops), np.float32)

    def fill(channel: int) -> None:
        # A few hops at a time stay in the cache, and need no memory to be cleared: half of the time.
        for start in range(0, hops, _FEW):
            few = slice(start, start + _FEW)
            spectrum = np.fft.rfft(framed[channel, few] * (_HANN * _SCALE), axis=-1)[:, :BINS]
            parts[channel, 0, :, few], parts[channel, 1, :, few] = spectrum.real.T, spectrum.imag.T

    at_once(fill, range(channels))
    return parts.reshape(2 * channels, BINS, hops)


def synthesise(spectrogram: Array, frames: int) -> Array:
    """The signal of a spectrogram as `analyse` gives it: least squares, so that analysis and synthesis are inverse.

    Args:
        spectrogram: `[..., 2 * channels, 2048, ceil(frames / 1024)]`.
        frames: length of the signal.

    Returns:
        `[..., channels, frames]`.
    """
    *leading, doubled, _, hops = spectrogram.shape
    parts = spectrogram.reshape(-1, 2, BINS, hops)
    # Where PyTorch's frame 0 begins: two dropped frames earlier, and half a window of centring.
    start = _PAD + FFT_FRAMES // 2 - EDGE_HOPS * HOP_FRAMES
    signals = np.empty((len(parts), frames), np.float32)

    def fill(channel: int) -> None:
        spectrum = np.zeros((hops, BINS + 1), np.complex64)
        spectrum.real[:, :BINS], spectrum.imag[:, :BINS] = parts[channel, 0].T, parts[channel, 1].T
        framed = np.fft.irfft(spectrum, n=FFT_FRAMES, axis=-1).astype(np.float32, copy=False)
        framed *= _HANN / _SCALE
        signals[channel] = (_overlapped(framed) / _envelope(hops))[start : start + frames]

    at_once(fill, range(len(parts)))
    return signals.reshape(*leading, doubled // 2, frames)


def _reflected(signal: Array, left: int, right: int) -> Array:
    return np.pad(signal, ((0, 0), (left, right)), mode="reflect")


def _overlapped(framed: npt.NDArray[np.float32]) -> Array:
    """Sum of frames `[..., hops, 4096]` laid every 1024: `[..., (hops + 3) * 1024]`."""
    *leading, hops, _ = framed.shape
    quarters = framed.reshape(*leading, hops, FFT_FRAMES // HOP_FRAMES, HOP_FRAMES)
    total = np.zeros((*leading, hops + FFT_FRAMES // HOP_FRAMES - 1, HOP_FRAMES), dtype=np.float32)
    for quarter in range(FFT_FRAMES // HOP_FRAMES):
        total[..., quarter : quarter + hops, :] += quarters[..., quarter, :]
    return total.reshape(*leading, -1)


@lru_cache
def _envelope(hops: int) -> Array:
    """What the squared windows add up to; PyTorch counts the dropped (zero) frames at either end too."""
    squares = np.broadcast_to(_HANN**2, (hops + 2 * EDGE_HOPS, FFT_FRAMES))
    edge = EDGE_HOPS * HOP_FRAMES
    return _overlapped(np.ascontiguousarray(squares))[edge:-edge]
