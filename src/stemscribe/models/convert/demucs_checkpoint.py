"""A Demucs checkpoint read without torch, and without running what is in it.

A checkpoint is what `torch.save` writes: a zip archive with a pickle, and the bare numbers of each storage as members
of their own. A pickle is a program, which may call whatever it can name. Here it can name what `_KNOWN` lists, and
nothing else: to read a model takes an ordered dict, a fraction, a note of where each tensor lies, and the names of
Demucs' classes. So `torch.load`, which has run what it should not have (CVE-2025-32434), is not needed.

What a pickle can do without a name is take memory and time: a place in its memo may be numbered two billion, a
fraction may have a billion digits, a list may hold itself. So it is read through once before it is run, and what is in
the archive is not compressed, so that no member is larger than the file.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stemscribe.models.convert.weights import CLASSES, Tensor, Weights

PICKLE = "data.pkl"
# The pickle holds names and sizes: 1 MB in a large model. What is larger is something else.
PICKLE_LIMIT = 4 * 2**20
# Tensors may share their numbers, but hardly all of them: what is written is at most so many times what was read.
SHARED_LIMIT = 4
_FRACTION = re.compile(r"-?[0-9]{1,9}(/[0-9]{1,9})?")
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
# The settings of the training come with the model and are not needed; these may stand in them.
TRAINING_TYPES = (
    "collections.defaultdict",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "pathlib.PosixPath",
    "typing.Any",
)


_DAMAGED = (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, TypeError)


class _Name(NamedTuple):
    """A class that is named, and never had."""

    name: str


class _Storage(NamedTuple):
    """The numbers that several tensors may share: a member of the archive."""

    dtype: np.dtype[Any]
    member: str
    length: int


class _View(NamedTuple):
    """A tensor: where in a storage its numbers are."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StandIn:
    """A thing that takes what it is given and keeps none of it.

    A pickle cannot change the class: having it set its state calls `__setstate__` without an instance, and fails.
    """

    def __new__(cls, *arguments: Any) -> _StandIn:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def extend(self, items: Any) -> None: ...


class _Maker(NamedTuple):
    """A function that a pickle may call. Unlike a class or a function, a tuple cannot be changed by the pickle."""

    make: Any

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)


def read_weights(path: Path) -> Weights:
    """The model in a checkpoint of Demucs; its tensors are read from the file when they are wanted.

    Raises:
        ValueError: this is not such a file, or there is more in it than a model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            _check_stored(archive)
            prefix = _prefix(members)
            package = _unpickle(archive, prefix)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path.name} is not a zip archive: it was cut short, or saved by torch before 1.6") from error
    return _weights(path, members, package)


def _check_stored(archive: zipfile.ZipFile) -> None:
    """Refuse what torch does not write: a member that is not stored as it is, or under a name that is taken."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("the archive has compressed members, which torch does not write")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("the archive has two members of one name")


def _prefix(members: Mapping[str, zipfile.ZipInfo]) -> str:
    """The folder of the archive in which all of it is; its name is anything."""
    places = [name.removesuffix(PICKLE) for name in members if name.endswith(f"/{PICKLE}")]
    if len(places) != 1:
        raise ValueError(f"the archive has {len(places)} members called {PICKLE}, not one")
    return places[0]


def _unpickle(archive: zipfile.ZipFile, prefix: str) -> Any:
    if archive.getinfo(prefix + PICKLE).file_size > PICKLE_LIMIT:
        raise ValueError(f"its {PICKLE} is too large for that of a model")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise ValueError("it was saved on a big-endian machine, which is not supported")
    pickled = archive.read(prefix + PICKLE)
    _check_sizes(pickled)
    try:
        return _Unpickler(pickled, prefix).load()
    except ValueError:
        raise
    # A pickle that is not what it should be fails in the many ways in which Python fails.
    except (*_DAMAGED, MemoryError, RecursionError) as error:
        raise ValueError(f"its {PICKLE} is damaged: {error}") from error


def _check_sizes(pickled: bytes) -> None:
    """Refuse what would make the unpickler reserve more memory than the pickle can fill."""
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            if "PUT" in operation.name and argument is not None and argument > len(pickled):
                raise ValueError(f"a memo has no place {argument}")
    except (ValueError, *_DAMAGED) as error:
        raise ValueError(f"its {PICKLE} is damaged: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Knows a closed list of names, and none of them does anything but make a value."""

    def __init__(self, pickled: bytes, prefix: str) -> None:
        super().__init__(io.BytesIO(pickled))
        self._prefix = prefix
        self._known: dict[str, Any] = {
            "collections.OrderedDict": _Maker(OrderedDict),
            "fractions.Fraction": _Maker(_fraction),
            "torch.Size": _Maker(tuple),
            "torch._utils._rebuild_tensor_v2": _Maker(_view),
            **{f"torch.{name}": _Name(dtype) for name, dtype in STORAGES.items()},
            **{name: _Name(name) for name in CLASSES},
            **dict.fromkeys(TRAINING_TYPES, _StandIn),
        }

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self._known:
            raise ValueError(f"it asks for {full}, which is no part of a model; nothing of it was run")
        return self._known[full]

    def persistent_load(self, reference: Any) -> _Storage:
        match reference:
            case ("storage", _Name(name=dtype), str(key), str(), int(length)) if dtype in STORAGES.values():
                return _Storage(np.dtype(dtype), f"{self._prefix}data/{key}", length)
        raise ValueError("it refers to something that is no storage of numbers")


def _fraction(numerator: Any, denominator: Any = None) -> Fraction:
    """A fraction as Python pickles it: as a text until 3.10, as two numbers since."""
    text = str(numerator) if denominator is None else f"{numerator}/{denominator}"
    if not _FRACTION.fullmatch(text):
        raise ValueError("it has a fraction that is none")
    return Fraction(text)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_gradients: Any) -> _View:
    view = _View(storage, offset, tuple(shape), tuple(strides))
    if not isinstance(storage, _Storage) or {type(number) for number in (offset, *shape, *strides)} != {int}:
        raise ValueError("it has a tensor that is none")
    return view


def _weights(path: Path, members: Mapping[str, zipfile.ZipInfo], package: Any) -> Weights:
    """The parts of the package that Demucs' `serialize_model` makes."""
    # Of the dictionary itself, because a pickle can give an ordered one methods of its own.
    if not isinstance(package, dict) or not {"klass", "args", "kwargs", "state"} <= dict.keys(package):
        raise ValueError("it holds no package of Demucs: no class, arguments and state")
    klass, args, kwargs, state = (dict.get(package, part) for part in ("klass", "args", "kwargs", "state"))
    if not isinstance(klass, _Name) or klass.name not in CLASSES:
        raise ValueError("its class is none of Demucs'")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(state, dict):
        raise ValueError("its arguments or its state are not what they should be")
    if "__quantized" in state:
        raise ValueError("its weights are quantised by DiffQ, which is not supported")
    tensors = {name: _tensor(path, members, name, view) for name, view in dict.items(state)}
    if sum(tensor.size for tensor in tensors.values()) > SHARED_LIMIT * path.stat().st_size:
        raise ValueError("its tensors are larger together than what is stored of them")
    return Weights(klass.name, args, kwargs, tensors)


def _tensor(path: Path, members: Mapping[str, zipfile.ZipInfo], name: Any, view: Any) -> Tensor:
    if not isinstance(name, str) or not isinstance(view, _View):
        raise ValueError(f"its state has {name!r}, which is no tensor")
    storage = view.storage
    member = members.get(storage.member)
    if member is None or member.file_size != storage.length * storage.dtype.itemsize:
        raise ValueError(f"the numbers of {name} are missing or cut short")
    if len(view.shape) != len(view.strides) or min((view.offset, *view.shape, *view.strides)) < 0:
        raise ValueError(f"{name} has a shape that cannot be")
    if math.prod(view.shape) > storage.length:
        raise ValueError(f"{name} is larger than what is stored of it")
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if 0 not in view.shape and last >= storage.length:
        raise ValueError(f"{name} is larger than what is stored of it")
    return Tensor(storage.dtype, view.shape, partial(_read, path, view))


def _read(path: Path, view: _View) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        numbers = np.frombuffer(archive.read(view.storage.member), view.storage.dtype)
    strides = [stride * view.storage.dtype.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, strides, writeable=False)
