"""A graph while it grows: the same bytes for the same calls, and nothing stored twice that is small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from stemscribe.models.convert.network import IR_VERSION, OPSET, Network


def write(path: Path) -> onnx.ModelProto:
    """`y = (x + 0.5) * w`, as one row of four, with two scopes."""
    network = Network()
    network.scope = "first"
    moved = network.add("Add", "x", network.constant(0.5))
    network.scope = "second"
    scaled = network.add("Mul", moved, network.constant(np.arange(4, dtype=np.float64)))
    network.add("Reshape", scaled, network.integers(1, 4), name="y")
    network.write(path, "line", {"x": (4,)}, [("y", (1, 4))])
    return onnx.load(path)


def test_the_same_calls_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_what_is_written_is_a_graph_that_computes(tmp_path: Path) -> None:
    model = write(tmp_path / "graph.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, [(each.domain, each.version) for each in model.opset_import]) == (
        IR_VERSION,
        [("", OPSET)],
    )
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones(4, np.float32)})
    np.testing.assert_array_equal(found, [[0.0, 1.5, 3.0, 4.5]])


def test_nodes_are_named_by_their_scope_unless_they_have_a_name(tmp_path: Path) -> None:
    graph = write(tmp_path / "graph.onnx").graph
    assert [node.name for node in graph.node] == ["first/Add0", "second/Mul1", "y"]
    assert [list(node.output) for node in graph.node] == [[node.name] for node in graph.node]


def test_equal_parts_have_names_and_come_in_order(tmp_path: Path) -> None:
    network = Network()
    network.scope = "cut"
    first, second = network.split("x", 2, axis=1)
    network.add("Sub", second, first, name="y")
    network.write(tmp_path / "graph.onnx", "parts", {"x": (1, 4)}, [("y", (1, 2))])
    onnx.checker.check_model(onnx.load(tmp_path / "graph.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.array([[1, 2, 30, 50]], np.float32)})
    assert found.tolist() == [[29, 48]]
    assert (first, second) == ("cut/Split0.0", "cut/Split0.1")


def test_numbers_are_in_single_precision_and_counts_are_not(tmp_path: Path) -> None:
    half, row, shape = (numpy_helper.to_array(each) for each in write(tmp_path / "graph.onnx").graph.initializer)
    assert (half.dtype, half.shape, half) == (np.float32, (1,), 0.5)
    assert (row.dtype, row.tolist()) == (np.float32, [0, 1, 2, 3])
    assert (shape.dtype, shape.tolist()) == (np.int64, [1, 4])


def test_small_constants_are_shared_if_they_are_the_same_in_every_respect() -> None:
    network, row = Network(), np.ones(64, np.float32)
    assert network.constant(1.0) == network.constant(np.ones(1, np.float32))
    assert network.constant(row) == network.constant(row.copy())
    assert network.integers(1, 2) == network.integers(1, 2)
    different = [
        network.constant(1.0),
        network.constant(np.ones((1, 1), np.float32)),
        network.constant(row),
        network.constant(row.reshape(8, 8)),
        network.constant(-0.0),
        network.constant(0.0),
        network.integers(1),
        network.integers(1, 2),
        network.integers(2, 1),
    ]
    assert len(set(different)) == len(different)


def test_large_constants_are_stored_as_often_as_they_are_given() -> None:
    network, many = Network(), np.ones(65, np.float32)
    assert network.constant(many) != network.constant(many)


@pytest.mark.parametrize("value", [np.arange(12, dtype=np.float32).reshape(3, 4).T, np.arange(24, dtype=">f4")[::2]])
def test_numbers_are_kept_however_they_lie_in_memory(tmp_path: Path, value: np.ndarray) -> None:
    network = Network()
    network.add("Add", "x", network.constant(value), name="y")
    network.write(tmp_path / "graph.onnx", "sum", {"x": value.shape}, [("y", value.shape)])
    (stored,) = onnx.load(tmp_path / "graph.onnx").graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(stored), value)
