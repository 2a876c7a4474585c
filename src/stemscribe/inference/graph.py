"""Which runtime runs a graph on which device, and why.

On a CPU OpenVINO is taken where its wheel exists: for HTDemucs it needs 1.1 GB where onnxruntime needs 2.4 GB or
more, at the same speed, and both agree to 6e-5. onnxruntime serves the other devices, and platforms without OpenVINO.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from stemscribe.errors import UsageError

Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda", "coreml"]


class Graph(Protocol):
    """A loaded graph."""

    @property
    def runtime(self) -> str:
        """What runs it, with its version: part of what a result depends on, e.g. `openvino 2026.4.1 on cpu`."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The graph's outputs, in its own order, for inputs by name."""
        ...


def load_graph(path: Path, device: Device = "auto", *, threads: int = 0) -> Graph:
    """A graph that is ready to run.

    Args:
        path: an ONNX file.
        device: `auto` takes CUDA where onnxruntime offers it, else the CPU.
        threads: how many threads to use on a CPU; 0 leaves it to the runtime.

    Raises:
        UsageError: the device is not to be had here.
    """
    from stemscribe.inference import onnxruntime

    providers = onnxruntime.available_devices()
    if device == "auto":
        device = "cuda" if "cuda" in providers else "cpu"
    if device == "cpu" and importlib.util.find_spec("openvino"):
        from stemscribe.inference import openvino

        return openvino.OpenVinoGraph(path, threads=threads)
    if device not in providers:
        raise UsageError(
            f"Device {device} is not to be had here: onnxruntime offers {', '.join(providers)}.",
            hint="Leave out --device, or install a runtime for it (for CUDA: onnxruntime-gpu).",
        )
    return onnxruntime.OnnxRuntimeGraph(path, device, threads=threads)
