"""TensorFlow checkpoints that mean harm. They run nothing, so there is time and memory that they can take; and every
file that is not a checkpoint has to be refused with a reason.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.convert.bundles import HEADER, bundle, entry, nested, rows, table_of, varied
from stemscribe.models.convert import CONVERSIONS
from stemscribe.models.convert.tensor_bundle import TABLE_LIMIT, read_bundle

FIRST = rows([(b"", HEADER)])
TENSORS = {f"conv2d_{number}/kernel": np.full((2, 3), number, np.float32) for number in range(9)}


def block(entries: bytes) -> bytes:
    """A block of entries behind the header's."""
    return rows([(b"", HEADER)])[:-8] + entries + bytes(4) + b"\x01\x00\x00\x00"


# Built when they are tried: their checksums take a second each.
COSTLY: dict[str, Callable[[], bytes]] = {
    "the same block many times over": lambda: table_of([FIRST], [(0, len(FIRST))] * 10_000),
    "many dimensions": lambda: table_of(
        [rows([(b"", HEADER), (b"w", varied(1, 1) + nested(2, nested(2, varied(1, 2**62)) * 70_000))])]
    ),
    "a tensor that fills any memory": lambda: table_of([rows([(b"", HEADER), (b"w", entry([2**20, 2**20], 0))])]),
    "a tensor of nothing, far away": lambda: table_of([rows([(b"", HEADER), (b"w", entry([0], 2**62))])]),
    "a name that grows with every entry": lambda: table_of(
        [rows([(b"", HEADER), *((b"a" * length, b"") for length in range(1, 1_000))])]
    ),
    "many names, all but one letter the same": lambda: table_of(
        [block(b"\x00\xfd\x01\x00" + b"a" * 253 + b"\xfc\x01\x01\x00b" * 200_000)]
    ),
    "a table that is larger than any": lambda: table_of([bytes(TABLE_LIMIT)]),
    "a number without an end": lambda: table_of([block(b"\x80" * 900_000)]),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_what_would_take_time_or_memory_is_refused_soon(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.checkpoint"
    path.write_bytes(COSTLY[kind]())
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"^(?!\s*$)"):
        CONVERSIONS["spleeter_checkpoint_to_onnx"](path, tmp_path / "spleeter.onnx")
    assert time.monotonic() - started < 10
    assert not (tmp_path / "spleeter.onnx").exists()


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_refused_or_does_nothing(tmp_path: Path, seed: int) -> None:
    """A byte of the table that is another one, or a piece that is missing; its checksums are on our side here."""
    content = bundle(TENSORS)
    table = len(content) - sum(array.nbytes for array in TENSORS.values())
    chance = random.Random(seed)
    path = tmp_path / "model.checkpoint"
    for _ in range(50):
        damaged = bytearray(content)
        at = len(content) - 1 - chance.randrange(table)
        if chance.random() < 0.5:
            damaged[at] ^= 1 << chance.randrange(8)
        else:
            del damaged[at : at + chance.randrange(1, 40)]
        path.write_bytes(damaged)
        try:
            found = read_bundle(path)
        except ValueError:
            continue
        assert {name: tensor.read().tolist() for name, tensor in found.items()} == {
            name: array.tolist() for name, array in TENSORS.items()
        }


@pytest.mark.parametrize("seed", range(20))
def test_entries_of_noise_are_refused_or_of_no_account(tmp_path: Path, seed: int) -> None:
    """Here the checksums are right, and what they vouch for is not."""
    chance = random.Random(seed)
    path = tmp_path / "model.checkpoint"
    for _ in range(50):
        said = bytearray(entry([2, 3], 0))
        for _ in range(chance.randrange(1, 4)):
            said[chance.randrange(len(said))] = chance.randrange(256)
        path.write_bytes(bytes(64) + table_of([rows([(b"", HEADER), (b"w", bytes(said))])]))
        try:
            found = read_bundle(path)
        except ValueError:
            continue
        assert all(tensor.read().nbytes <= 64 for tensor in found.values())


MEASURE = """
import resource, sys
from pathlib import Path
from stemscribe.models.convert.tensor_bundle import read_bundle
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    read_bundle(Path(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory as POSIX does")
@pytest.mark.parametrize("kind", ["many names, all but one letter the same", "a tensor that fills any memory"])
def test_largest_table_fits_into_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.checkpoint"
    path.write_bytes(COSTLY[kind]())
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
