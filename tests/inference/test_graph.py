"""Which outputs of a graph are computed, and in which order they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from stemscribe.inference import CompiledGraphs, Runtime, load_graph
from stemscribe.inference.onnxruntime import Bound
from stemscribe.models.convert.network import Network

Package = Literal["openvino", "onnxruntime"]
INPUTS = {"a": np.array([1, 2, 3], np.float32), "b": np.array([10, 20, 30], np.float32)}
GIVES = {"one/sum": [11, 22, 33], "one/twice": [22, 44, 66], "other/difference": [-9, -18, -27]}
NAMES = list(GIVES)


@pytest.fixture(params=["openvino", "onnxruntime"])
def package(request: pytest.FixtureRequest) -> Package:
    pytest.importorskip(request.param, reason="it has no wheel for this platform")
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A graph with three outputs, of which the second is made from the first."""
    network = Network()
    network.add("Add", "a", "b", name="one/sum")
    network.add("Mul", "one/sum", network.constant(2.0), name="one/twice")
    network.add("Sub", "a", "b", name="other/difference")
    network.write(tmp_path / "graph.onnx", "three", {"a": (3,), "b": (3,)}, [(name, (3,)) for name in NAMES])
    return tmp_path / "graph.onnx"


@pytest.mark.parametrize(
    "outputs", [[], NAMES, NAMES[::-1], ["other/difference"], ["one/twice"], ["one/twice", "one/sum"]]
)
def test_outputs_are_those_that_are_asked_for_in_that_order(
    path: Path, package: Package, outputs: Sequence[str]
) -> None:
    graph = load_graph(path, Runtime(package, "cpu"), outputs=outputs, threads=1)
    for _ in range(2):
        found = graph.run(INPUTS)
        assert [each.tolist() for each in found] == [GIVES[name] for name in outputs or NAMES]


def test_an_output_that_is_not_there_is_an_error_when_it_is_asked_for(path: Path, package: Package) -> None:
    with pytest.raises(Exception, match="nowhere"):
        load_graph(path, Runtime(package, "cpu"), outputs=["nowhere", "one/sum"]).run(INPUTS)


def test_what_nobody_asks_for_is_not_computed(tmp_path: Path, package: Package) -> None:
    """The output that is not wanted would gather beyond the end of a table, which fails where it is computed; OpenVINO
    gathers 0 there, and tells what it is going to compute.
    """
    network = Network()
    table = network.constant(np.arange(3, dtype=np.float32))
    network.add("Gather", table, network.add("Cast", "where", to=7), name="gathered")
    network.add("Neg", "where", name="negated")
    network.write(tmp_path / "graph.onnx", "two", {"where": (1,)}, [("gathered", (1,)), ("negated", (1,))])
    where = {"where": np.array([1000], np.float32)}
    graph = load_graph(tmp_path / "graph.onnx", Runtime(package, "cpu"), outputs=["negated"])
    assert graph.run(where)[0].tolist() == [-1000]
    whole = load_graph(tmp_path / "graph.onnx", Runtime(package, "cpu"))
    if package == "onnxruntime":
        with pytest.raises(Exception, match="out of data bounds"):
            whole.run(where)
    else:
        assert "gathered" in computed(whole)
        assert "gathered" not in computed(graph)


def computed(graph: object) -> set[str]:
    """The names of all that OpenVINO computes in a graph."""
    compiled = graph._request.get_compiled_model()  # type: ignore[attr-defined]
    return {node.get_friendly_name() for node in compiled.get_runtime_model().get_ops()}


@pytest.mark.parametrize("outputs", [[], ["one/twice"]])
def test_inputs_may_have_other_shapes_than_in_the_file(path: Path, package: Package, outputs: Sequence[str]) -> None:
    graph = load_graph(path, Runtime(package, "cpu"), outputs=outputs, shapes={"a": (2,), "b": (2,)})
    found = graph.run({name: values[:2] for name, values in INPUTS.items()})
    assert [each.tolist() for each in found] == [GIVES[name][:2] for name in outputs or NAMES]


def test_a_graph_that_is_kept_is_kept_for_its_shapes(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="it has no wheel for this platform")
    kept = CompiledGraphs(tmp_path / "compiled")
    for _ in range(2):
        for length in (3, 2):
            shapes = {"a": (length,), "b": (length,)}
            graph = load_graph(path, Runtime("openvino", "cpu"), outputs=["one/sum"], shapes=shapes, kept=kept)
            (found,) = graph.run({name: values[:length] for name, values in INPUTS.items()})
            assert found.tolist() == GIVES["one/sum"][:length]
    assert len(list((tmp_path / "compiled").glob("*.bin"))) == 2


def test_inputs_and_outputs_that_have_their_places_give_the_same(path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    bound = Bound(onnxruntime.InferenceSession(str(path)), "cpu", NAMES[::-1])
    for factor in (1, 5):
        found = bound.run({name: (values * factor)[::-1][::-1] for name, values in INPUTS.items()})
        assert [each.tolist() for each in found] == [[value * factor for value in GIVES[name]] for name in NAMES[::-1]]
