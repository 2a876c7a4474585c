"""Graphs on onnxruntime: for GPUs, for small graphs, and where OpenVINO has no wheel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemscribe.arrays import Array
from stemscribe.errors import ModelError
from stemscribe.inference.graph import SAME, Shapes

if TYPE_CHECKING:
    from onnx import GraphProto

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


def version() -> str:
    """The installed release."""
    import onnxruntime

    return str(onnxruntime.__version__)


def available_devices() -> list[str]:
    """The devices that this build of onnxruntime offers, best first."""
    import onnxruntime

    offered = set(onnxruntime.get_available_providers())
    return [device for device, provider in _PROVIDERS.items() if provider in offered]


class OnnxRuntimeGraph:
    """A graph in an onnxruntime session."""

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        *,
        outputs: Sequence[str] = (),
        shapes: Shapes = SAME,
        threads: int = 0,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The arena keeps every buffer it ever needed: 4.9 GB for one window of HTDemucs, 2.4 to 2.6 GB without it.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = [_PROVIDERS[device]] + ([_PROVIDERS["cpu"]] if device != "cpu" else [])
        graph = _changed(path, outputs, shapes) if outputs or shapes else str(path)
        self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        if self._session.get_providers()[0] != providers[0]:
            raise ModelError(
                f"onnxruntime could not use {device}: it fell back to {self._session.get_providers()[0]}.",
                hint="Check the driver and its libraries, or use --device cpu.",
            )

        self._outputs = list(outputs) or [output.name for output in self._session.get_outputs()]
        self._bound = Bound(self._session, device, self._outputs) if device == "cuda" else None

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        if self._bound is not None:
            return self._bound.run(inputs)
        results: list[Array] = self._session.run(self._outputs, dict(inputs))
        return results


class Bound:
    """A session whose inputs and outputs have their places on the device, once and for all.

    Otherwise each run finds them new ones, and frees them again.

    Args:
        session: of a graph in which every input and output that is wanted has a fixed shape.
        device: `cuda` or `cpu`.
        outputs: which outputs are wanted.
    """

    def __init__(self, session: Any, device: str, outputs: Sequence[str]) -> None:
        self._session, self._binding = session, session.io_binding()
        self._inputs = {given.name: _placed(given, device) for given in session.get_inputs()}
        made = {output.name: output for output in session.get_outputs()}
        self._outputs = [_placed(made[name], device) for name in outputs]
        for name, place in self._inputs.items():
            self._binding.bind_ortvalue_input(name, place)
        for name, place in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, place)

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs for inputs by name."""
        for name, place in self._inputs.items():
            place.update_inplace(np.ascontiguousarray(inputs[name], np.float32))
        self._session.run_with_iobinding(self._binding)
        return [place.numpy() for place in self._outputs]


def _placed(end: Any, device: str) -> Any:
    """Room on a device for an input or an output."""
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_shape_and_type(end.shape, np.float32, device, 0)


def _changed(path: Path, outputs: Sequence[str], shapes: Shapes) -> bytes:
    """A graph for inputs of other shapes, or without what is not needed for these outputs."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    if outputs:
        _lead_to(model.graph, outputs)
    if shapes:
        _reshape(model.graph, shapes)
    content: bytes = model.SerializeToString()
    return content


def _reshape(graph: GraphProto, shapes: Shapes) -> None:
    """What the file says of the shapes of outputs does not hold any more: onnxruntime finds out."""
    for given in graph.input:
        for dimension, length in zip(given.type.tensor_type.shape.dim, shapes.get(given.name, ()), strict=False):
            dimension.dim_value = length
    for made in graph.output:
        made.type.tensor_type.ClearField("shape")


def _lead_to(graph: GraphProto, outputs: Sequence[str]) -> None:
    """Leave out what these outputs do not need: onnxruntime computes every node that there is, even with
    `only_execute_path_to_fetches` (1.32).
    """
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    wanted = [output for output in graph.output if output.name in outputs]
    for field, kept in ((graph.node, nodes[::-1]), (graph.initializer, constants), (graph.output, wanted)):
        del field[:]
        field.extend(kept)
