"""Which runtime runs a graph on which device, and why.

On a CPU OpenVINO is taken where its wheel exists: for HTDemucs it needs 1.1 GB where onnxruntime needs 2.4 GB or
more, at the same speed, and both agree to 6e-5. onnxruntime serves the other devices, and platforms without OpenVINO.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from stemscribe.arrays import Array
from stemscribe.choices import Device
from stemscribe.errors import UsageError
from stemscribe.inference.compiled import CompiledGraphs

OnnxDevice = Literal["cpu", "cuda", "coreml"]
Shapes = Mapping[str, Sequence[int]]
"""By the name of an input."""
SAME: Shapes = MappingProxyType({})


class Graph(Protocol):
    """A loaded graph."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs that were asked for, for inputs by name; they are good until the next call."""
        ...


@dataclass(frozen=True)
class Runtime:
    """What runs graphs, and where."""

    package: Literal["openvino", "onnxruntime"]
    device: OnnxDevice

    def __str__(self) -> str:
        return f"{self.package} {import_module(f'stemscribe.inference.{self.package}').version()} on {self.device}"


def choose_runtime(device: Device = "auto") -> Runtime:
    """The runtime for a device; `auto` takes CUDA where onnxruntime offers it, else the CPU.

    Raises:
        UsageError: the device is not to be had here.
    """
    from stemscribe.inference import onnxruntime

    offered = onnxruntime.available_devices()
    wanted = ("cuda" if "cuda" in offered else "cpu") if device == "auto" else device
    if wanted == "mps" or wanted not in offered:
        raise UsageError(
            f"Device {device} is not to be had here: onnxruntime offers {', '.join(offered)}.",
            hint="Leave out --device, or install a runtime for it (for CUDA: onnxruntime-gpu).",
        )
    lean = wanted == "cpu" and importlib.util.find_spec("openvino") is not None
    return Runtime("openvino" if lean else "onnxruntime", wanted)


def load_graph(
    path: Path,
    runtime: Runtime,
    *,
    outputs: Sequence[str] = (),
    shapes: Shapes = SAME,
    threads: int = 0,
    kept: CompiledGraphs | None = None,
) -> Graph:
    """A graph that is ready to run.

    Args:
        path: an ONNX file.
        runtime: what runs it.
        outputs: which outputs are wanted, by name: nothing is computed for others. None stands for all, in the order
            of the graph.
        shapes: of inputs that are to have others than in the file; for graphs that do not care.
        threads: how many threads to use on a CPU; 0 leaves it to the runtime.
        kept: where it may be found compiled, or is kept once it is; for graphs that take long to compile.
    """
    if runtime.package == "openvino":
        from stemscribe.inference.openvino import OpenVinoGraph

        return OpenVinoGraph(path, outputs=outputs, shapes=shapes, threads=threads, kept=kept)
    from stemscribe.inference.onnxruntime import OnnxRuntimeGraph

    return OnnxRuntimeGraph(path, runtime.device, outputs=outputs, shapes=shapes, threads=threads)


class SharedGraph:
    """A graph that is loaded when it is first needed, and that threads may share: it runs for one of them at a time.

    Args:
        load: gives the graph.
    """

    def __init__(self, load: Callable[[], Graph]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._graph: Graph | None = None

    def load(self) -> None:
        """Load it now."""
        with self._lock:
            self._loaded()

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs for inputs by name; they are the caller's to keep."""
        with self._lock:
            return [output.copy() for output in self._loaded().run(inputs)]

    def _loaded(self) -> Graph:
        if self._graph is None:
            self._graph = self._load()
        return self._graph
