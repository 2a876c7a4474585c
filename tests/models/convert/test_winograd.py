"""Half of the multiplications, and the same convolution: against its definition, in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stemscribe.arrays import Array
from stemscribe.models.convert.network import Network
from stemscribe.models.convert.winograd import TILE, combined_rows, convolved_rows, in_order


def convolved(x: Array, kernel: Array, bias: Array) -> np.ndarray:
    """`[outputs, rows, columns]`: every output is the sum over the kernel's places, with silence around the input."""
    rows, columns, (height, width) = x.shape[1], x.shape[2], kernel.shape[2:]
    around = np.pad(x.astype(np.float64), ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
    total = np.zeros((len(kernel), rows, columns)) + bias[:, None, None]
    for down in range(height):
        for right in range(width):
            shifted = around[:, down : down + rows, right : right + columns]
            total += np.einsum("oc,crw->orw", kernel[:, :, down, right], shifted, dtype=np.float64)
    return total


def graph(path: Path, kernel: Array, bias: Array, shape: tuple[int, ...]) -> None:
    network = Network()
    combined = combined_rows(network, "x", shape[1])
    found = in_order(network, convolved_rows(network, combined, kernel, bias), shape[2])
    network.write(path, "part", {"x": shape}, [(found, (1, len(kernel), *shape[2:]))])


@pytest.mark.parametrize(("outputs", "channels", "rows", "columns", "width"), [(5, 3, 4, 7, 3), (2, 6, 32, 5, 1)])
def test_it_is_the_convolution(
    tmp_path: Path, outputs: int, channels: int, rows: int, columns: int, width: int
) -> None:
    chance = np.random.default_rng(rows)
    x = chance.standard_normal((1, channels, rows, columns)).astype(np.float32)
    kernel = chance.standard_normal((outputs, channels, 3, width)).astype(np.float32)
    bias = chance.standard_normal(outputs).astype(np.float32)
    graph(tmp_path / "part.onnx", kernel, bias, x.shape)
    session = onnxruntime.InferenceSession(tmp_path / "part.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    wanted = convolved(x[0], kernel, bias)
    error = found[0] - wanted
    assert np.sqrt(np.mean(error**2) / np.mean(wanted**2)) <= 1e-6  # of single precision: 6e-8, a few times over


def test_six_products_take_the_place_of_twelve(tmp_path: Path) -> None:
    """Counted in the graph: multiplications with the kernel, for each place of the output."""
    outputs, channels, rows, columns, width = 8, 16, 4 * TILE, 10, 3
    kernel, bias = np.ones((outputs, channels, 3, width), np.float32), np.zeros(outputs, np.float32)
    graph(tmp_path / "part.onnx", kernel, bias, (1, channels, rows, columns))
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "part.onnx")).graph
    sizes = {each.name: [side.dim_value for side in each.type.tensor_type.shape.dim] for each in model.value_info}
    kernels = {each.name: each.dims for each in model.initializer}
    taken = sum(
        np.prod(sizes[node.output[0]]) * np.prod(kernels[node.input[1]][1:])
        for node in model.node
        if node.op_type == "Conv" and kernels[node.input[1]][0] == outputs
    )
    assert taken == outputs * rows * columns * channels * 3 * width / 2


@pytest.mark.parametrize(("rows", "kernel"), [(6, (3, 3)), (8, (5, 3)), (8, (3, 2))])
def test_what_it_was_not_made_for_is_refused(rows: int, kernel: tuple[int, int]) -> None:
    network = Network()
    combined = combined_rows(network, "x", 2)
    with pytest.raises(ValueError, match=r"multiple|kernel"):
        in_order(network, convolved_rows(network, combined, np.ones((1, 2, *kernel), np.float32), np.zeros(1)), rows)
