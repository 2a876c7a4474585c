import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stemscribe.models.convert import CONVERSIONS, htdemucs_onnx
from stemscribe.models.convert.htdemucs_onnx import KWARGS, read_weights
from stemscribe.models.spec import load_catalog


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """Writes a graph of constants, each by its name, and nodes that use them, and expects no other number of them."""

    def make(constants, nodes, tensors):
        monkeypatch.setattr(htdemucs_onnx, "TENSORS", tensors)
        stored = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()]
        made = [helper.make_node(kind, inputs, [f"{name}_output"], name=name) for kind, name, inputs in nodes]
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(helper.make_graph(made, "main", [], [], stored)), path)
        return path

    return make


def arrays_of(path):
    return {name: tensor.read().tolist() for name, tensor in read_weights(path).tensors.items()}


def test_constant_with_a_name_keeps_it(graph):
    path = graph({"encoder.0.conv.bias": [1, 2]}, [("Conv", "/encoder.0/conv/Conv", ["x", "w", "b"])], 1)
    assert arrays_of(path) == {"encoder.0.conv.bias": [1, 2]}


def test_norms_and_layer_scales_of_a_convolution_are_found_by_their_nodes(graph):
    constants = {"onnx::Mul_1": [[1], [2]], "onnx::Add_2": [[3], [4]], "onnx::Mul_3": [[5], [6]]}
    nodes = [
        ("Mul", "/encoder.0/dconv/layers.1/layers.1.4/Mul", ["x", "onnx::Mul_1"]),
        ("Add", "/encoder.0/dconv/layers.1/layers.1.4/Add", ["y", "onnx::Add_2"]),
        ("Mul", "/encoder.0/dconv/layers.1/layers.1.6/Mul", ["onnx::Mul_3", "z"]),
    ]
    assert arrays_of(graph(constants, nodes, 3)) == {
        "encoder.0.dconv.layers.1.4.weight": [1, 2],
        "encoder.0.dconv.layers.1.4.bias": [3, 4],
        "encoder.0.dconv.layers.1.6.scale": [5, 6],
    }


def test_matrices_are_turned_back_and_those_of_attention_put_together(graph):
    constants = {
        "onnx::A": [[1, 2]],
        "onnx::Q": [[1], [2]],
        "onnx::KV": [[3, 5], [4, 6]],
        "onnx::q": [7],
        "onnx::k": [8],
    }
    attention = "/crosstransformer/layers.1/cross_attn"
    nodes = [
        ("MatMul", f"{attention}/MatMul_1", ["x", "onnx::KV"]),
        ("MatMul", f"{attention}/MatMul", ["x", "onnx::Q"]),
        ("Add", f"{attention}/Add", ["onnx::q", "x"]),
        ("Add", f"{attention}/Add_1", ["onnx::k", "x"]),
        ("MatMul", "/crosstransformer/layers.1/linear1/MatMul", ["x", "onnx::A"]),
    ]
    assert arrays_of(graph(constants, nodes, 3)) == {
        "crosstransformer.layers.1.linear1.weight": [[1], [2]],
        "crosstransformer.layers.1.cross_attn.in_proj_weight": [[1, 2], [3, 4], [5, 6]],
        "crosstransformer.layers.1.cross_attn.in_proj_bias": [7, 8],
    }


def test_table_of_the_embedding_is_what_it_was_before_it_was_multiplied(graph):
    table = np.linspace(-1, 1, 6, dtype=np.float16).reshape(3, 2)
    product = (table.astype(np.float32) * np.float32(10)).T[None, :, :, None]
    path = graph({"onnx::E": product}, [("Expand", "/Expand", ["onnx::E", "s"])], 1)
    assert arrays_of(path) == {"freq_emb.embedding.weight": table.tolist()}


@pytest.mark.parametrize(
    ("constants", "nodes", "complaint"),
    [
        ({"a": [1]}, [], "has 1 tensors of HTDemucs, not 2"),
        ({"a": [1], "b": [0.1]}, [], "b does not fit into half precision"),
        ({"a": [1], "b": [1e6]}, [], "b does not fit into half precision"),
        ({"onnx::E": np.full((1, 2, 3, 1), 0.1)}, [("Expand", "/Expand", ["onnx::E", "s"])], "frequency embedding"),
        ({"onnx::A": [1]}, [("Conv", "/a/Conv", ["x", "onnx::A"])], "/a/Conv uses a constant in a way"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_other_graph_is_refused(graph, constants, nodes, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_weights(graph(constants, nodes, 2))


def test_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"model\.onnx is not an ONNX file"):
        read_weights(tmp_path / "model.onnx")


CONVERT = """
import sys
from pathlib import Path
from stemscribe.models.convert import CONVERSIONS
from stemscribe.pipeline.resources import peak_memory
CONVERSIONS["htdemucs_onnx_to_safetensors"](Path(sys.argv[1]), Path(sys.argv[2]))
print(peak_memory())
"""


@pytest.mark.models
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux tells it")
def test_pretrained_model_gives_the_bytes_of_the_catalog_in_less_than_a_gigabyte(model, tmp_path):
    (file,) = load_catalog()["htdemucs-torch"].files
    command = [sys.executable, "-c", CONVERT, model("htdemucs") / "htdemucs.onnx", tmp_path / file.name]
    peak_bytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    content = (tmp_path / file.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    assert peak_bytes < 1_000_000_000


SHAPES = """
import json, sys
from fractions import Fraction
from demucs.htdemucs import HTDemucs
kwargs = json.loads(sys.argv[1]) | {"segment": Fraction(sys.argv[2])}
print(json.dumps({name: list(tensor.shape) for name, tensor in HTDemucs(**kwargs).state_dict().items()}))
"""


@pytest.mark.models
@pytest.mark.torch
def test_pretrained_model_has_every_tensor_that_torch_wants(model, demucs_python):
    kwargs = {name: value for name, value in KWARGS.items() if name != "segment"}
    command = [demucs_python, "-c", SHAPES, json.dumps(kwargs), str(KWARGS["segment"])]
    wanted = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    tensors = read_weights(model("htdemucs") / "htdemucs.onnx").tensors
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == wanted


def test_catalog_knows_the_conversion():
    (source,) = load_catalog()["htdemucs-torch"].files[0].sources
    assert source.conversion in CONVERSIONS
