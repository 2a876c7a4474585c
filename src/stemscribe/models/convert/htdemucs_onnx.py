"""The state dict of HTDemucs, found again in the ONNX graph that was exported from it.

Most weights kept their names. Those that the exporter folded into something else (scales and biases of group norms,
layer scales, transposed matrices) are nameless, but the node that uses one is named after the module to which it
belonged: `/encoder.0/dconv/layers.0/layers.0.1/Mul`.

The pretrained weights were published in half precision; the graph holds them widened. So they are narrowed again, which
loses nothing: a number that would change is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemscribe.models.convert.weights import Tensor, Weights

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

KLASS = "demucs.htdemucs.HTDemucs"
# The arguments in which the pretrained model differs from the defaults of its class.
KWARGS = {
    "sources": ["drums", "bass", "other", "vocals"],
    "segment": Fraction(39, 5),
    "bottom_channels": 512,
    "t_layers": 5,
    "dconv_mode": 3,
}
TENSORS = 533
HALF = np.dtype("<f2")
# Demucs' ScaledEmbedding multiplies its table by this number, and the exporter kept the product.
EMBEDDING_SCALE = np.float32(10)


def read_weights(path: Path) -> Weights:
    """The weights of the pretrained HTDemucs, from its ONNX file.

    Raises:
        ValueError: this is not that file.
    """
    graph = _graph(path)
    arrays = _named(graph) | _folded(graph)
    if len(arrays) != TENSORS:
        raise ValueError(f"{path.name} has {len(arrays)} tensors of HTDemucs, not {TENSORS}")
    return Weights(KLASS, [], KWARGS, {name: _narrowed(name, array) for name, array in arrays.items()})


def _graph(path: Path) -> GraphProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"{path.name} is not an ONNX file") from error


def _named(graph: GraphProto) -> dict[str, NDArray[Any]]:
    return {constant.name: _array(constant) for constant in graph.initializer if not _is_nameless(constant.name)}


def _folded(graph: GraphProto) -> dict[str, NDArray[Any]]:
    """What the nameless constants were before the export, under the names that they had then."""
    nameless = {constant.name: constant for constant in graph.initializer if _is_nameless(constant.name)}
    pieces: Mapping[str, list[NDArray[Any]]] = defaultdict(list)
    # Of attention between the branches, the queries' part of a matrix is used first (`MatMul`), the keys' and values'
    # after it (`MatMul_1`); in the module they are one.
    for node in sorted(graph.node, key=lambda node: node.name):
        for place, name in enumerate(node.input):
            if name in nameless:
                tensor, array = _restored(node, place, _array(nameless[name]))
                pieces[tensor].append(array)
    return {tensor: np.concatenate(arrays) for tensor, arrays in pieces.items()}


def _restored(node: NodeProto, place: int, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """The name and the form that the constant at one input of a node had in the module."""
    module = _module(node)
    prefix = "in_proj_" if module.endswith("_attn") else ""
    if node.op_type == "MatMul":
        return f"{module}.{prefix}weight", array.T
    if node.op_type == "Add":
        return f"{module}.{prefix}bias", array.reshape(-1)
    if node.op_type == "Mul":  # a layer scale is the first factor, the scale of a norm the second
        return f"{module}.{'weight' if place else 'scale'}", array.reshape(-1)
    if node.op_type == "Expand":
        return "freq_emb.embedding.weight", _table(array[0, :, :, 0].T)
    raise ValueError(f"{node.name} uses a constant in a way that HTDemucs does not")


def _module(node: NodeProto) -> str:
    """The dotted name of the module to which a node belongs.

    A list is a level of its own in a node's name, and its members repeat it: `layers.0/layers.0.1` is `layers.0.1`.
    """
    levels = node.name.strip("/").split("/")[:-1]
    below = [*levels, ""][1:]
    return ".".join(level for level, next_ in zip(levels, below, strict=True) if not next_.startswith(f"{level}."))


def _table(product: NDArray[Any]) -> NDArray[Any]:
    """The embedding's own table; the product was rounded once more, and narrowing undoes that."""
    table: NDArray[Any] = (product / EMBEDDING_SCALE).astype(HALF)
    if not np.array_equal(table.astype(np.float32) * EMBEDDING_SCALE, product):
        raise ValueError("the frequency embedding was not made from numbers in half precision")
    return table


def _narrowed(name: str, array: NDArray[Any]) -> Tensor:
    half = array.astype(HALF)
    if not np.array_equal(half, array):
        raise ValueError(f"{name} does not fit into half precision")
    return Tensor(HALF, half.shape, lambda: half)


def _array(constant: TensorProto) -> NDArray[Any]:
    from onnx import numpy_helper

    return numpy_helper.to_array(constant)


def _is_nameless(name: str) -> bool:
    return name.startswith("onnx::")
