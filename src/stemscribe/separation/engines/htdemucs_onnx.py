"""Hybrid Transformer Demucs (Rouard, Massa, Défossez 2023) from an ONNX graph, without torch.

The graph is the network alone; the spectrogram before it and the inverse after it are ours. A stem is the sum of what
the spectrogram branch and the time branch say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from stemscribe.arrays import Array
from stemscribe.choices import Device
from stemscribe.inference import Graph, choose_runtime, load_graph
from stemscribe.separation import spectrogram

ALL_STEMS = ("drums", "bass", "other", "vocals")
SAMPLE_RATE = 44100
CHANNELS = 2
WINDOW_FRAMES = 343980  # 39/5 s: the length of the training examples
GRAPH_FILE = "htdemucs.onnx"


class HTDemucsOnnx:
    """The pretrained four-stem model.

    Args:
        folder: the fetched model `htdemucs`.
        stems: which stems are wanted; the network computes all, but only these are brought back from their
            spectrograms.
    """

    sample_rate = SAMPLE_RATE
    channels = CHANNELS
    window_frames = WINDOW_FRAMES

    def __init__(
        self, folder: Path, *, stems: Sequence[str] = ALL_STEMS, device: Device = "auto", threads: int = 0
    ) -> None:
        self.stems = tuple(stems)
        self._picked = [ALL_STEMS.index(stem) for stem in self.stems]
        runtime = choose_runtime(device)
        self.runtime = str(runtime)
        self._load = partial(load_graph, folder / GRAPH_FILE, runtime, threads=threads)

    @cached_property
    def _graph(self) -> Graph:
        # Loaded when it is first needed: a resumed job may only have its files left to write.
        return self._load()

    def load(self) -> None:
        """Compile the graph."""
        _ = self._graph

    def separate(self, mix: Array) -> Array:
        """The stems of one window: `[2, 343980]` in, `[stems, 2, 343980]` out."""
        spectral, temporal = self._graph.run({"input": mix[None], "onnx::ReduceMean_1": spectrogram.analyse(mix)[None]})
        return spectrogram.synthesise(spectral[0, self._picked], WINDOW_FRAMES) + temporal[0, self._picked]
