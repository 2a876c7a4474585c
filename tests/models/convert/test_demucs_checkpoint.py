import hashlib
import json
import os
import pickle
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from models.convert.conftest import called, dict_of, integer, list_of, named, package, tensor, text, tuple_of
from stemscribe.models.convert import CONVERSIONS
from stemscribe.models.convert.demucs_checkpoint import read_weights

NUMBERS = np.arange(12, dtype="<f2")
ONE = {"w": tensor("0", 12, [12], [1])}
REBUILD = "torch._utils._rebuild_tensor_v2"
STORED = {"0": NUMBERS.tobytes()}


def arrays_of(path):
    return {name: tensor.read() for name, tensor in read_weights(path).tensors.items()}


def refused(path, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_weights(path)


def test_class_and_arguments_are_read(checkpoint):
    weights = read_weights(checkpoint(package(ONE), STORED))
    assert weights.klass == "demucs.htdemucs.HTDemucs"
    assert list(weights.args) == [["vocals", "rest"]]
    assert weights.kwargs == {"segment": Fraction(39, 5), "channels": 8}


def test_tensors_are_views_into_their_storages_and_half_stays_half(checkpoint):
    state = {
        "all": tensor("0", 12, [3, 4], [4, 1]),
        "turned": tensor("0", 12, [4, 3], [1, 4]),
        "end": tensor("0", 12, [2], [1], offset=10),
        "number": tensor("0", 12, [], [], offset=5),
        "none": tensor("0", 12, [0, 4], [4, 1], offset=12),
        "whole": tensor("1", 2, [2], [1], kind="Long"),
    }
    arrays = arrays_of(checkpoint(package(state), STORED | {"1": np.array([7, -7], "<i8").tobytes()}))
    assert arrays["all"].tolist() == NUMBERS.reshape(3, 4).tolist()
    assert arrays["turned"].tolist() == NUMBERS.reshape(3, 4).T.tolist()
    assert arrays["end"].tolist() == [10, 11]
    assert arrays["number"].tolist() == 5
    assert arrays["none"].shape == (0, 4)
    assert arrays["whole"].tolist() == [7, -7]
    assert (arrays["all"].dtype, arrays["whole"].dtype) == (np.float16, np.int64)


def test_conversion_writes_what_it_read(checkpoint, tmp_path):
    path = checkpoint(package({"turned": tensor("0", 12, [4, 3], [1, 4])}), STORED)
    CONVERSIONS["demucs_checkpoint_to_safetensors"](path, tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        assert file.get_tensor("turned").tolist() == NUMBERS.reshape(3, 4).T.tolist()
        assert json.loads(file.metadata()["kwargs"])["segment"] == {
            "_type": "fraction",
            "numerator": 39,
            "denominator": 5,
        }


def test_settings_of_the_training_are_passed_over(checkpoint):
    inside = dict_of({"lr": integer(1)})
    config = named("omegaconf.dictconfig.DictConfig") + b")\x81" + inside + b"b"  # NEWOBJ, BUILD
    default = called("collections.defaultdict", named("typing.Any")) + b"(" + text("a") + integer(1) + b"u"  # SETITEMS
    items = called("omegaconf.listconfig.ListConfig") + integer(1) + b"a(" + integer(2) + b"e"  # APPEND, APPENDS
    training = list_of(config, default, items, called("pathlib.PosixPath", text("/tmp")))
    assert list(read_weights(checkpoint(package(ONE, training_args=training), STORED)).tensors) == ["w"]


def test_state_may_be_an_ordered_dict(checkpoint):
    items = list_of(tuple_of(text("w"), ONE["w"]))
    state = called("collections.OrderedDict", items) + dict_of({"_metadata": dict_of({})}) + b"b"
    assert list(read_weights(checkpoint(package({}, state=state), STORED)).tensors) == ["w"]


# Each makes a file when it is run by a pickle that is trusted.
ATTACKS = {
    "called": lambda victim: called("posix.system", text(f"touch {victim}")),
    "called by the module that hides it": lambda victim: called("os.system", text(f"touch {victim}")),
    "built in": lambda victim: called("builtins.eval", text(f"open({victim!r}, 'w')")),
    "by a name on the stack": lambda victim: (
        text("posix") + text("system") + b"\x93" + tuple_of(text(f"touch {victim}")) + b"R"
    ),
    "as an instance": lambda victim: b"(" + text(f"touch {victim}") + b"iposix\nsystem\n",
    "by way of a known module": lambda victim: (
        text("collections") + text("_sys.modules") + b"\x93" + tuple_of(text(victim)) + b"R"
    ),
}


def attack(name, tmp_path):
    victim = tmp_path / "victim"
    return ATTACKS[name](str(victim)), victim


@pytest.mark.parametrize("place", ["training_args", "state"])
@pytest.mark.parametrize("name", ATTACKS)
def test_pickle_that_would_run_something_is_refused_and_runs_nothing(checkpoint, tmp_path, name, place):
    pickled, victim = attack(name, tmp_path)
    path = checkpoint(package(ONE, **{place: pickled}), STORED)
    refused(path, "which is no part of a model; nothing of it was run")
    assert not victim.exists()


@pytest.mark.skipif(os.name == "nt", reason="they are written for POSIX")
@pytest.mark.parametrize("name", ["called", "built in", "as an instance"])
def test_those_pickles_are_dangerous_indeed(tmp_path, name):
    """Otherwise the test before this one would show nothing."""
    pickled, victim = attack(name, tmp_path)
    pickle.loads(b"\x80\x02" + pickled + b".")  # noqa: S301 - that is the point
    assert victim.exists()


@pytest.mark.parametrize(
    "full",
    [
        "fractions.Fraction",
        "collections.OrderedDict",
        "torch.Size",
        "torch.HalfStorage",
        "demucs.demucs.Demucs",
        "omegaconf.listconfig.ListConfig",
    ],
)
def test_pickle_cannot_change_what_it_names(checkpoint, full):
    change = named(full) + tuple_of(b"N", dict_of({"__new__": named("typing.Any")})) + b"b"  # BUILD with slots
    refused(checkpoint(package(ONE, training_args=change), STORED), "is damaged")
    assert Fraction("1/2") == Fraction(1, 2)


@pytest.mark.parametrize(
    ("pickled", "complaint"),
    [
        (package({"w": tensor("0", 11, [11], [1])}), "the numbers of w are missing or cut short"),
        (package({"w": tensor("9", 12, [12], [1])}), "the numbers of w are missing or cut short"),
        (package({"w": tensor("../0", 12, [12], [1])}), "the numbers of w are missing or cut short"),
        (package({"w": tensor("0", 12, [13], [1])}), "w is larger than what is stored of it"),
        (package({"w": tensor("0", 12, [3, 4], [4, 2])}), "w is larger than what is stored of it"),
        (package({"w": tensor("0", 12, [2], [1], offset=11)}), "w is larger than what is stored of it"),
        (package({"w": tensor("0", 12, [12], [-1])}), "w has a shape that cannot be"),
        (package({"w": tensor("0", 12, [12], [1], offset=-1)}), "w has a shape that cannot be"),
        (package({"w": tensor("0", 12, [12], [])}), "w has a shape that cannot be"),
        (package({"w": tensor("0", 12, [12], [1], kind="BFloat16")}), r"asks for torch\.BFloat16Storage"),
        (package({"w": called(REBUILD, b"N", integer(0), b")", b")")}), "a tensor that is none"),
        (package({"w": called(REBUILD, ONE["w"], integer(0), b")", b")")}), "a tensor that is none"),
        (package({"w": tensor("0", 12, [12], [1]).replace(integer(0), text("0"))}), "a tensor that is none"),
        (package({"w": tensor("0", 12, [12], [1]).replace(tuple_of(integer(1)), tuple_of(b"N"))}), "that is none"),
        (package({"w": integer(1)}), "its state has 'w', which is no tensor"),
        (package({"w": ONE["w"], "__quantized": b"\x88"}), "quantised by DiffQ"),
        (package(ONE, klass=named("demucs.wav.Wavset")), r"asks for demucs\.wav\.Wavset"),
        (package(ONE, klass=text("demucs.demucs.Demucs")), "its class is none of Demucs'"),
        (package(ONE, klass=named("torch.HalfStorage")), "its class is none of Demucs'"),
        (package(ONE, args=integer(1)), "its arguments or its state"),
        (package(ONE, kwargs=list_of()), "its arguments or its state"),
        (dict_of(ONE), "no package of Demucs"),
        (ONE["w"], "no package of Demucs"),
        (text("storage") + b"Q", "no storage of numbers"),
        (tuple_of(text("module"), b"N", b"N", b"N", b"N") + b"Q", "no storage of numbers"),
        (
            tuple_of(text("storage"), named("demucs.demucs.Demucs"), text("0"), text("cpu"), integer(12)) + b"Q",
            "no storage",
        ),
        (b"R", "is damaged"),
        (b"", "is damaged"),
        (called("fractions.Fraction", integer(1), integer(0)), "is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_model_is_refused(checkpoint, pickled, complaint):
    refused(checkpoint(pickled, STORED), complaint)


def test_numbers_of_a_big_endian_machine_are_refused(checkpoint):
    assert read_weights(checkpoint(package(ONE), STORED, byteorder=b"little")).tensors
    refused(checkpoint(package(ONE), STORED, byteorder=b"big"), "big-endian")


def test_huge_pickle_is_refused_before_it_is_read(checkpoint, monkeypatch):
    monkeypatch.setattr("stemscribe.models.convert.demucs_checkpoint.PICKLE_LIMIT", 100)
    refused(checkpoint(package(ONE), STORED), "too large")


def test_archive_without_or_with_two_pickles_is_refused(checkpoint):
    refused(checkpoint(package(ONE), STORED, **{"more/data.pkl": b"."}), "2 members called data.pkl")


@pytest.mark.parametrize("content", [b"", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"PK\x03\x04"])
def test_file_that_is_no_zip_archive_is_refused(tmp_path, content):
    (tmp_path / "old.th").write_bytes(content)
    refused(tmp_path / "old.th", r"old\.th is not a zip archive")


MAKE = """
import hashlib, json, sys
from fractions import Fraction
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.states import serialize_model
from omegaconf import OmegaConf
torch.manual_seed(0)
settings = OmegaConf.create({"lr": 3e-4, "test": {"shifts": [1, 2], "none": None}})
small = {"channels": 8, "bottom_channels": 16, "t_layers": 1, "t_heads": 2, "segment": Fraction(1, 2)}
for model in (HTDemucs(["vocals", "rest"], **small), HDemucs(["vocals"], channels=8)):
    for half in (False, True):
        content = serialize_model(model, settings, half=half)
        path = f"{sys.argv[1]}/{type(model).__name__}{'-half' if half else ''}.th"
        torch.save(content, path)
        numbers = {name: tensor.numpy() for name, tensor in content["state"].items()}
        facts = {name: [a.dtype.str, a.shape, hashlib.sha256(a.tobytes()).hexdigest()] for name, a in numbers.items()}
        print(json.dumps([path, facts]))
"""


@pytest.mark.torch
def test_checkpoints_that_demucs_wrote_are_read_bit_by_bit(demucs_python, tmp_path):
    command = [demucs_python, "-W", "ignore", "-c", MAKE, tmp_path]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 4
    for path, facts in map(json.loads, lines):
        CONVERSIONS["demucs_checkpoint_to_safetensors"](Path(path), tmp_path / "m.safetensors")
        with safe_open(tmp_path / "m.safetensors", "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
            klass = Path(path).stem.removesuffix("-half")
            assert file.metadata()["klass"] == f"demucs.{klass.lower()}.{klass}"
        assert facts == {
            name: [array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
            for name, array in arrays.items()
        }
