"""Spleeter (Hennequin, Khlif, Voituret, Moussallam 2020) with two stems from an ONNX graph, without TensorFlow.

The graph hears how loud each bin of a spectrogram is, and says what share of it belongs to the voices. That share of
the mix's spectrogram is brought back. Above 11 kHz, where the network hears nothing, there is no voice: in the
`2stems.json` of deezer/spleeter, `mask_extension` is `zeros`. The accompaniment is all the rest: Spleeter's own, and
what is above 11 kHz.

Spleeter cuts the spectrogram of a whole file into pieces of 512 columns that know nothing of each other. Here a window
is to the network what a file of 508 * 1024 frames is to Spleeter, with the silence that it puts around it: 512 columns
exactly. So they are the same sound, and where windows overlap, one fades into the next.

What the network hears in a bin depends on how loud it is. So it is given the film's own level, as Spleeter gives it:
brought to unit level, the voices of our four mixtures of speech and music came out 1.7 to 7.4 dB worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.choices import Device
from stemscribe.inference import COMPILED, CompiledGraphs, SharedGraph, choose_runtime, load_graph
from stemscribe.separation.engines.spleeter_spectrogram import FFT_FRAMES, HOP_FRAMES, analyse, synthesise

ALL_STEMS = ("vocals", "accompaniment")
SAMPLE_RATE = 44100
CHANNELS = 2
COLUMNS, BINS = 512, 1024  # what the network hears at once, of the spectrogram
_LIKE_THEM = 64  # so many of the highest bins that it hears tell of those beyond
WINDOW_FRAMES = COLUMNS * HOP_FRAMES - FFT_FRAMES  # 11.8 s; the rest is silence before it
GRAPH_FILE = "spleeter.onnx"


class SpleeterOnnx:
    """The pretrained two-stem model: far less work than HTDemucs, and a rougher result.

    Args:
        folder: the fetched model `spleeter`.
        stems: which stems are wanted.
        bins: how many the network hears, a multiple of 64; its time goes with them. Of the others up to 11 kHz, voices
            have the share that they have in the highest 64 that it hears.
    """

    sample_rate = SAMPLE_RATE
    channels = CHANNELS
    window_frames = WINDOW_FRAMES
    normalised = False

    def __init__(
        self,
        folder: Path,
        *,
        stems: Sequence[str] = ALL_STEMS,
        bins: int = BINS,
        device: Device = "auto",
        threads: int = 0,
    ) -> None:
        self.stems = tuple(stems)
        self._bins = bins
        self._picked = [ALL_STEMS.index(stem) for stem in self.stems]
        runtime = choose_runtime(device)
        self.runtime = str(runtime)
        kept = CompiledGraphs(folder / COMPILED)
        shapes = {"mix": (1, CHANNELS, COLUMNS, bins)} if bins != BINS else {}
        load = partial(load_graph, folder / GRAPH_FILE, runtime, shapes=shapes, threads=threads, kept=kept)
        self._graph = SharedGraph(load)

    def load(self) -> None:
        """Compile the graph."""
        self._graph.load()

    def separate(self, mix: Array) -> Array:
        """The stems of one window: `[2, 520192]` in, `[stems, 2, 520192]` out."""
        spectrum = analyse(mix)
        (mask,) = self._graph.run({"mix": np.abs(spectrum[None, ..., : self._bins])})
        spectrum[..., : self._bins] *= mask[0]
        spectrum[..., self._bins : BINS] *= mask[0, ..., -_LIKE_THEM:].mean(axis=-1, keepdims=True)
        spectrum[..., BINS:] = 0
        vocals = synthesise(spectrum, WINDOW_FRAMES)
        return np.stack([vocals, mix - vocals])[self._picked]
