"""Checkpoints as torch writes them, made by hand: pickles put together from their operations."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def integer(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def list_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"l"


def dict_of(items: dict[str, bytes]) -> bytes:
    return b"(" + b"".join(text(key) + value for key, value in items.items()) + b"d"


def named(full: str) -> bytes:
    module, _, name = full.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def called(full: str, *arguments: bytes) -> bytes:
    return named(full) + tuple_of(*arguments) + b"R"


def tensor(key: str, count: int, shape: list[int], strides: list[int], offset: int = 0, kind: str = "Half") -> bytes:
    reference = tuple_of(text("storage"), named(f"torch.{kind}Storage"), text(key), text("cpu"), integer(count)) + b"Q"
    sizes = [tuple_of(*map(integer, numbers)) for numbers in (shape, strides)]
    return called("torch._utils._rebuild_tensor_v2", reference, integer(offset), *sizes, b"\x89", b"N")


def package(state: dict[str, bytes], /, **changes: bytes) -> bytes:
    """What Demucs saves: a class, its arguments, its state, and the settings of its training."""
    parts = {
        "klass": named("demucs.htdemucs.HTDemucs"),
        "args": tuple_of(list_of(text("vocals"), text("rest"))),
        "kwargs": dict_of({"segment": called("fractions.Fraction", text("39/5")), "channels": integer(8)}),
        "state": dict_of(state),
        "training_args": dict_of({}),
    }
    return dict_of(parts | changes)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint: a pickle without its first and last operation, and the storages."""

    def make(pickled: bytes, storages: dict[str, bytes] | None = None, **members: bytes) -> Path:
        path = tmp_path / "model.th"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("any/data.pkl", b"\x80\x02" + pickled + b".")
            for key, numbers in (storages or {}).items():
                archive.writestr(f"any/data/{key}", numbers)
            for name, content in members.items():
                archive.writestr(f"any/{name}", content)
        return path

    return make


@pytest.fixture(scope="session")
def demucs_python() -> Path:
    """The interpreter of the environment that has torch and Demucs."""
    folder = Path(os.environ.get("STEMSCRIBE_VENV_DIR") or ROOT / "venv") / "demucs"
    for python in (folder / "bin" / "python", folder / "Scripts" / "python.exe"):
        if python.exists():
            return python
    pytest.skip(f"needs {folder}: ./bootstrap.sh --env demucs")
