import hashlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from safetensors import safe_open

from stemscribe.models.convert.weights import CLASSES, Tensor, Weights, write_weights


def held(array):
    return Tensor(array.dtype, array.shape, lambda: array)


def model(kwargs=None, **arrays):
    return Weights(CLASSES[0], [["vocals"]], kwargs or {}, {name: held(array) for name, array in arrays.items()})


def test_reader_of_safetensors_gives_back_what_was_written(tmp_path):
    arrays = {
        "half": np.arange(6, dtype="<f2").reshape(2, 3).T,
        "count": np.array(7, dtype="<i8"),
        "none": np.zeros((0, 4), dtype="<f4"),
        "flag": np.array([True, False, True]),
    }
    write_weights(tmp_path / "m.safetensors", model({"segment": Fraction(39, 5), "t": (1, None, 0.5)}, **arrays))
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118 - it is no dictionary
            name: array.tolist() for name, array in arrays.items()
        }
        assert file.get_tensor("half").dtype == np.float16
        assert file.metadata() == {
            "klass": "demucs.demucs.Demucs",
            "args": '[["vocals"]]',
            "kwargs": '{"segment": {"_type": "fraction", "denominator": 5, "numerator": 39}, "t": [1, null, 0.5]}',
        }


def test_every_tensor_is_aligned_to_its_own_width(tmp_path):
    arrays = {"a": np.zeros(3, "|u1"), "b": np.ones(1, "<f8"), "c": np.ones(3, "<f2")}
    write_weights(tmp_path / "m.safetensors", model(**arrays))
    content = (tmp_path / "m.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0
    assert content[start:] == arrays["b"].tobytes() + arrays["c"].tobytes() + arrays["a"].tobytes()


def test_same_model_gives_the_same_bytes_in_whatever_order_it_comes(tmp_path):
    one, two = np.ones(3, "<f2"), np.zeros((2, 2), "<f2")
    write_weights(tmp_path / "1", model({"x": 1, "y": 2}, one=one, two=two))
    write_weights(tmp_path / "2", model({"y": 2, "x": 1}, two=two, one=one))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from stemscribe.models.convert.weights import Tensor, Weights, write_weights
array = np.ones(3, "<f2")
tensors = {name: Tensor(array.dtype, array.shape, lambda: array) for name in {"a", "b", "c", "d"}}
write_weights(Path(sys.argv[1]), Weights("demucs.demucs.Demucs", [], {name: 1 for name in {"x", "y", "z"}}, tensors))
"""


def test_same_model_gives_the_same_bytes_in_every_process(tmp_path):
    hashes = set()
    for seed in "123":
        subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / "m"], check=True, env={"PYTHONHASHSEED": seed})
        hashes.add(hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (model({"segment": object()}), "an argument of the model is a object"),
        (model({"segment": [{1: 2}]}), "an argument of the model is named 1"),
        (model(wide=np.zeros(1, "<c8")), "wide of type complex64 has no place"),
        (model(__metadata__=np.zeros(1, "<f4")), "__metadata__ of type float32 has no place"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(tmp_path, wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        write_weights(tmp_path / "m.safetensors", wrong)
