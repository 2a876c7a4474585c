"""Checkpoints that mean harm. What runs code is tried in tests/models/convert; here is what takes memory and time, and
what hides in the archive around the pickle.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.convert.conftest import called, dict_of, integer, list_of, named, package, tensor, text, tuple_of
from stemscribe.models.convert import CONVERSIONS
from stemscribe.models.convert import demucs_checkpoint as reader

NUMBERS = np.arange(12, dtype="<f2").tobytes()
STORED = {"0": NUMBERS}
ONE = {"w": tensor("0", 12, [12], [1])}


def refused(path: Path, complaint: str) -> None:
    """The conversion says no, and has written nothing of weight."""
    target = path.with_name("made.safetensors")
    with pytest.raises(ValueError, match=complaint):
        CONVERSIONS["demucs_checkpoint_to_safetensors"](path, target)
    assert not target.exists()


class Runs:
    """What Python itself makes a pickle of when it is asked to run something."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> object:
        return self._reduced


class Chain:
    """A first call that fetches a second one, as gadget chains do: `getattr(__import__("os"), "system")(…)`."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> object:
        return eval, (f"getattr(__import__('os'), 'system')({self._command!r})",)


@pytest.mark.skipif(os.name == "nt", reason="they are written for POSIX")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["os.system", "eval", "chain", "subprocess", "nested"])
def test_pickles_that_python_itself_makes_run_nothing(tmp_path, protocol, kind):
    victim = tmp_path / "victim"
    thing = {
        "os.system": Runs(os.system, f"touch {victim}"),
        "eval": Runs(eval, f"open({str(victim)!r}, 'w')"),
        "chain": Chain(f"touch {victim}"),
        "subprocess": Runs(subprocess.getoutput, f"touch {victim}"),
        "nested": [{"a": (Runs(os.system, f"touch {victim}"),)}],
    }[kind]
    pickled = pickle.dumps({"klass": thing, "state": {}}, protocol)
    with zipfile.ZipFile(tmp_path / "model.th", "w") as archive:
        archive.writestr("any/data.pkl", pickled)
    refused(tmp_path / "model.th", "which is no part of a model; nothing of it was run")
    assert not victim.exists()
    pickle.loads(pickled)  # noqa: S301 - it is dangerous indeed, or the lines before would show nothing
    assert victim.exists()


def doubled() -> bytes:
    """An argument of the model that is the same list, twice, thirty levels deep: two to the thirtieth numbers."""
    memo = b"]" + integer(1) + b"aq\x00"
    for level in range(1, 31):
        memo += b"0(" + b"h" + bytes([level - 1]) + b"h" + bytes([level - 1]) + b"lq" + bytes([level])
    return memo


TAKES_TOO_MUCH = {
    "place in the memo": (b"Nr\xff\xff\xff\x7f", "a memo has no place 2147483647"),
    "place in the memo, as text": (b"Np99999999999\n", "a memo has no place 99999999999"),
    "bytes that are not there": (b"\x8e" + (1 << 40).to_bytes(8, "little"), "is damaged"),
    "an array that is not there": (b"\x96" + (1 << 40).to_bytes(8, "little"), "is damaged"),
    "a text that is not there": (b"\x8d" + (1 << 40).to_bytes(8, "little"), "is damaged"),
    "a frame that is not there": (b"\x95" + (1 << 40).to_bytes(8, "little"), "is damaged"),
    "a fraction of many digits": (called("fractions.Fraction", text("1e999999999")), "a fraction that is none"),
    "a fraction of a fraction": (called("fractions.Fraction", list_of()), "a fraction that is none"),
}


@pytest.mark.parametrize("kind", TAKES_TOO_MUCH)
def test_what_would_fill_the_memory_is_refused(checkpoint, kind):
    pickled, complaint = TAKES_TOO_MUCH[kind]
    refused(checkpoint(package(ONE, training_args=pickled), STORED), complaint)


ARGUMENTS = {
    "a list that holds itself": b"]q\x01h\x01a",
    "a list that holds another twice, thirty levels deep": doubled(),
    "a long text": list_of(text("x" * 20_000)),
    "a long number": list_of(b"\x8b" + (100_000).to_bytes(4, "little") + b"\x7f" * 100_000),
    "many numbers": list_of(*(integer(1) for _ in range(20_000))),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_larger_than_those_of_a_model_are_refused(checkpoint, kind):
    with pytest.raises(ValueError, match="its arguments are larger than those of a model"):
        CONVERSIONS["demucs_checkpoint_to_safetensors"](
            checkpoint(package(ONE, args=ARGUMENTS[kind]), STORED), Path(os.devnull)
        )


def test_tensor_of_one_number_many_times_over_is_refused(checkpoint):
    refused(checkpoint(package({"w": tensor("0", 12, [2_000_000_000], [0])}), STORED), "larger than what is stored")


def test_storage_that_many_tensors_share_is_refused(checkpoint):
    state = {f"w{number}": tensor("0", 60_000, [60_000], [1]) for number in range(100)}
    refused(checkpoint(package(state), {"0": bytes(120_000)}), "larger together than what is stored")


def test_weights_that_two_names_share_are_read(checkpoint, tmp_path):
    state = {name: tensor("0", 12, [12], [1]) for name in ("w", "tied")}
    CONVERSIONS["demucs_checkpoint_to_safetensors"](checkpoint(package(state), STORED), tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_size > 48


@pytest.mark.parametrize("method", ["keys", "items", "get", "__iter__"])
def test_methods_that_a_pickle_gives_to_a_dictionary_are_not_used(checkpoint, method):
    """An ordered dictionary takes attributes from a pickle: here one that would be called for what is in it."""
    items = list_of(tuple_of(text("w"), ONE["w"]))
    state = called("collections.OrderedDict", items) + dict_of({method: named("fractions.Fraction")}) + b"b"
    assert list(reader.read_weights(checkpoint(package({}, state=state), STORED)).tensors) == ["w"]


def archive_of(tmp_path: Path, *members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(tmp_path / "model.th", "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return tmp_path / "model.th"


PICKLED = b"\x80\x02" + package(ONE) + b"."


def test_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = archive_of(
        tmp_path,
        ("any/data.pkl", PICKLED),
        ("any/byteorder", bytes(50_000_000)),
        compression=zipfile.ZIP_DEFLATED,
    )
    refused(path, "compressed members")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_pickles_of_one_name_are_refused(tmp_path):
    refused(archive_of(tmp_path, ("any/data.pkl", PICKLED), ("any/data.pkl", b".")), "two members of one name")


def test_members_with_paths_are_not_unpacked(tmp_path):
    home = tmp_path / "home" / "inner"
    home.mkdir(parents=True)
    members = [("../../data.pkl", PICKLED), ("../../data/0", NUMBERS), ("/tmp/escaped", b"!")]
    path = archive_of(home, *members)
    CONVERSIONS["demucs_checkpoint_to_safetensors"](path, home / "m.safetensors")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["home", "inner", "m.safetensors", "model.th"]


def test_header_that_promises_more_than_there_is_is_refused(checkpoint):
    path = checkpoint(package(ONE), STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(len(NUMBERS).to_bytes(4, "little") * 2, b"\xf0\xff\xff\x7f" * 2))
    refused(path, "missing or cut short|is not a zip archive")


MEASURE = """
import resource, sys
from pathlib import Path
from stemscribe.models.convert import demucs_checkpoint
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    demucs_checkpoint.read_weights(Path(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory as POSIX does")
def test_largest_pickle_of_the_smallest_things_fits_into_memory(checkpoint):
    path = checkpoint(package(ONE, training_args=b"(" + b"]" * 3_500_000 + b"l"), STORED)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
