"""Hybrid Transformer Demucs (Rouard, Massa, Défossez 2023) from an ONNX graph, without torch.

The graph is the network alone, as `models/convert/htdemucs_network.py` lays it out; the spectrogram before it and the
inverse after it are ours. A stem is the sum of what the spectrogram branch and the time branch say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from stemscribe.arrays import Array
from stemscribe.choices import Device
from stemscribe.inference import COMPILED, CompiledGraphs, SharedGraph, choose_runtime, load_graph
from stemscribe.separation import spectrogram

ALL_STEMS = ("drums", "bass", "other", "vocals")
SAMPLE_RATE = 44100
CHANNELS = 2
WINDOW_FRAMES = 343980  # 39/5 s: the length of the training examples
GRAPH_FILE = "htdemucs-network.onnx"


class HTDemucsOnnx:
    """The pretrained four-stem model.

    Args:
        folder: the fetched model `htdemucs-onnx`.
        stems: which stems are wanted; what only others need is not computed.
    """

    sample_rate = SAMPLE_RATE
    channels = CHANNELS
    window_frames = WINDOW_FRAMES
    normalised = True

    def __init__(
        self, folder: Path, *, stems: Sequence[str] = ALL_STEMS, device: Device = "auto", threads: int = 0
    ) -> None:
        self.stems = tuple(stems)
        runtime = choose_runtime(device)
        self.runtime = str(runtime)
        outputs = [f"{stem}/{branch}" for stem in self.stems for branch in ("spectrum", "wave")]
        kept = CompiledGraphs(folder / COMPILED)
        self._graph = SharedGraph(
            partial(load_graph, folder / GRAPH_FILE, runtime, outputs=outputs, threads=threads, kept=kept)
        )

    def load(self) -> None:
        """Compile the graph."""
        self._graph.load()

    def separate(self, mix: Array) -> Array:
        """The stems of one window: `[2, 343980]` in, `[stems, 2, 343980]` out."""
        found = self._graph.run({"mix": mix[None], "spectrogram": spectrogram.analyse(mix)[None]})
        spectra, waves = np.concatenate(found[::2]), np.concatenate(found[1::2])
        return spectrogram.synthesise(spectra, WINDOW_FRAMES) + waves
