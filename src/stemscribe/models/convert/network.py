"""An ONNX graph while it grows: nodes and constants, one after another, and the same bytes for the same calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET, IR_VERSION = 17, 8  # what every onnxruntime and OpenVINO that we can meet has
Shape = tuple[int, ...]
_SHARED = 64  # constants of up to so many numbers are looked up before they are stored again


class Network:
    """The nodes and constants of a graph.

    Attributes:
        scope: what the names of new nodes begin with, so that a profile of the graph can be read.
    """

    def __init__(self) -> None:
        self.scope = ""
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._known: dict[tuple[str, Shape, bytes], str] = {}

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output, which has its name; without a name it gets one."""
        from onnx import helper

        name = name or f"{self.scope}/{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def split(self, x: str, parts: int, *, axis: int) -> list[str]:
        """Cut a tensor into equal parts along an axis."""
        from onnx import helper

        name = f"{self.scope}/Split{len(self._nodes)}"
        outputs = [f"{name}.{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], outputs, name, axis=axis))
        return outputs

    def constant(self, value: Array | float) -> str:
        """Numbers in single precision."""
        return self._stored(np.ascontiguousarray(value, "<f4"))

    def integers(self, *values: int) -> str:
        """A shape, or whatever else is counted."""
        return self._stored(np.array(values, "<i8"))

    def _stored(self, value: npt.NDArray[Any]) -> str:
        from onnx import helper

        key = (value.dtype.str, value.shape, value.tobytes() if value.size <= _SHARED else b"")
        if value.size <= _SHARED and key in self._known:
            return self._known[key]
        name = self._known[key] = f"constant{len(self._constants)}"
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        self._constants.append(helper.make_tensor(name, kind, value.shape, value.tobytes(), raw=True))
        return name

    def write(self, path: Path, name: str, inputs: Mapping[str, Shape], outputs: Iterable[tuple[str, Shape]]) -> None:
        """Write the graph to a file.

        Args:
            path: the file.
            name: of the graph.
            inputs: each one's shape, by its name.
            outputs: nodes, with the shapes of what comes of them.
        """
        from onnx import TensorProto, helper

        given, made = (
            [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one, shape in ends]
            for ends in (inputs.items(), outputs)
        )
        graph = helper.make_graph(self._nodes, name, given, made, self._constants)
        model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
        path.write_bytes(model.SerializeToString(deterministic=True))
