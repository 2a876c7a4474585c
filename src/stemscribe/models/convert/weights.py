"""What a Demucs is made of, and the file that Demucs 4.1 and our torch engine load it from.

The file is a safetensors file (a length, a JSON header, the bare numbers), whose metadata say which class is to be
built with which arguments; see `demucs/hf.py` in Demucs 4.1. Loading it runs no code.

It is written here and not by the safetensors package, because that one orders the metadata at random: the same weights
gave another sha256 in every process (0.8.0). And so no more than one tensor need be in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The classes of Demucs that have weights; the name is all that is ever used of them here.
CLASSES = ("demucs.demucs.Demucs", "demucs.hdemucs.HDemucs", "demucs.htdemucs.HTDemucs")

# A model's arguments are a few dozen numbers and names, two or three levels deep.
DEEPEST = 8
LONGEST = 10_000

METADATA = "__metadata__"  # among the tensors of the header, though it is none
_TYPES = {
    "<f8": "F64",
    "<f4": "F32",
    "<f2": "F16",
    "<i8": "I64",
    "<i4": "I32",
    "<i2": "I16",
    "|i1": "I8",
    "|u1": "U8",
    "|b1": "BOOL",
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model, read when it is wanted.

    Attributes:
        dtype: little-endian, whatever the machine.
        read: gives the numbers, in this type and shape.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Weights:
    """A Demucs: its class by name, the arguments to build it with, and its state dict."""

    klass: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def write_weights(path: Path, weights: Weights) -> None:
    """Write a model to a safetensors file; the same bytes for the same model, on every machine.

    Raises:
        ValueError: an argument or a tensor has a type that the file cannot hold.
    """
    metadata = {"args": _json(weights.args), "klass": weights.klass, "kwargs": _json(weights.kwargs)}
    # Wide types first, then by name: as the package does it, so that every tensor is aligned.
    tensors = sorted(weights.tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    with path.open("wb") as file:
        file.write(_header(metadata, tensors))
        for _, tensor in tensors:
            file.write(np.ascontiguousarray(tensor.read(), tensor.dtype).tobytes())


def _header(metadata: Mapping[str, str], tensors: Sequence[tuple[str, Tensor]]) -> bytes:
    content: dict[str, Any] = {METADATA: metadata}
    start = 0
    for name, tensor in tensors:
        if tensor.dtype.str not in _TYPES or name == METADATA:
            raise ValueError(f"tensor {name} of type {tensor.dtype} has no place in a safetensors file")
        stop = start + tensor.size
        content[name] = {"dtype": _TYPES[tensor.dtype.str], "shape": tensor.shape, "data_offsets": (start, stop)}
        start = stop
    header = json.dumps(content, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def _json(value: object) -> str:
    return json.dumps(_encoded(value, _Room()), sort_keys=True)


@dataclass
class _Room:
    """How much more there may be of what came out of somebody's file: a list may hold itself, or another many times."""

    left: int = LONGEST

    def take(self, depth: int, size: int = 1) -> None:
        self.left -= size
        if self.left < 0 or depth > DEEPEST:
            raise ValueError("its arguments are larger than those of a model")


def _encoded(value: object, room: _Room, depth: int = 0) -> object:
    """What JSON has no word for in the spelling of Demucs 4.1."""
    room.take(depth, len(value) if isinstance(value, str) else 1)
    if isinstance(value, Fraction):
        return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
    if isinstance(value, dict):
        return {_text(key): _encoded(item, room, depth + 1) for key, item in dict.items(value)}
    if isinstance(value, list | tuple):
        return [_encoded(item, room, depth + 1) for item in value]
    if isinstance(value, int):
        room.take(depth, value.bit_length() // 8)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"an argument of the model is a {type(value).__name__}, which is not supported")


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"an argument of the model is named {key!r}")
    return key
