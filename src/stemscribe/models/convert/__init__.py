"""Conversions: how the files of one model are made from those of another, for `derive` and `convert` sources.

A conversion streams from the origin, which was verified before, to the target, which is a temporary path: it is
verified and renamed afterwards like anything that was downloaded, so a conversion must give the same bytes everywhere.
It raises `ValueError` when the origin is not what it expects. Each has a file of its own, imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

Conversion: TypeAlias = Callable[[Path, Path], None]


def htdemucs_onnx_to_safetensors(origin: Path, target: Path) -> None:
    """The weights inside `htdemucs.onnx` as torch's HTDemucs takes them.

    Raises:
        ValueError: the origin is another graph, or none.
    """
    from stemscribe.models.convert.htdemucs_onnx import read_weights
    from stemscribe.models.convert.weights import write_weights

    write_weights(target, read_weights(origin))


def htdemucs_onnx_to_network(origin: Path, target: Path) -> None:
    """The network inside `htdemucs.onnx` as a graph of our own, which a CPU computes in seven tenths of the time.

    Raises:
        ValueError: the origin is another graph, or none.
    """
    from stemscribe.models.convert.htdemucs_network import write_graph
    from stemscribe.models.convert.htdemucs_onnx import read_weights

    write_graph(target, read_weights(origin).tensors)


def demucs_checkpoint_to_safetensors(origin: Path, target: Path) -> None:
    """The weights of a checkpoint that Demucs saved (`.th`), in the precision in which they are there.

    Raises:
        ValueError: the origin is no such checkpoint, or there is more in it than a model.
    """
    from stemscribe.models.convert.demucs_checkpoint import read_weights
    from stemscribe.models.convert.weights import write_weights

    write_weights(target, read_weights(origin))


def spleeter_checkpoint_to_onnx(origin: Path, target: Path) -> None:
    """The graph of Spleeter's two stems, from the files `model.data-00000-of-00001` and `model.index`, joined.

    Raises:
        ValueError: the origin is no such checkpoint, or that of another model.
    """
    from stemscribe.models.convert.spleeter_checkpoint import write_graph
    from stemscribe.models.convert.tensor_bundle import read_bundle

    write_graph(target, read_bundle(origin))


# By the name that the catalog uses.
CONVERSIONS: Mapping[str, Conversion] = {
    "demucs_checkpoint_to_safetensors": demucs_checkpoint_to_safetensors,
    "htdemucs_onnx_to_network": htdemucs_onnx_to_network,
    "htdemucs_onnx_to_safetensors": htdemucs_onnx_to_safetensors,
    "spleeter_checkpoint_to_onnx": spleeter_checkpoint_to_onnx,
}
