import hashlib
import itertools
import math
import subprocess
import sys
from collections import defaultdict

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.convert.bundles import bundle
from stemscribe.inference import Runtime, load_graph
from stemscribe.models.convert import CONVERSIONS, spleeter_checkpoint
from stemscribe.models.spec import load_catalog

CONVERT = CONVERSIONS["spleeter_checkpoint_to_onnx"]
FILTERS, COLUMNS, BINS = (3, 4), 8, 12  # a U-Net of two levels


@pytest.fixture
def small(monkeypatch):
    """The conversion expects small U-Nets; gives the weights of two."""
    for name, value in (("FILTERS", FILTERS), ("COLUMNS", COLUMNS), ("BINS", BINS)):
        monkeypatch.setattr(spleeter_checkpoint, name, value)
    random = np.random.default_rng(0)
    numbers = defaultdict(itertools.count)
    tensors = {}

    def layer(kind, **parts):
        number = next(numbers[kind])
        name = f"{kind}_{number}" if number else kind
        tensors.update({f"{name}/{part}": array for part, array in parts.items()})

    def convolution(kind, *shape):
        filters = shape[2] if kind == "conv2d_transpose" else shape[3]
        layer(kind, kernel=random.standard_normal(shape) * 0.3, bias=random.standard_normal(filters) * 0.3)

    for _ in spleeter_checkpoint.UNETS:
        for shape in [(5, 5, 2, 3), (5, 5, 3, 4), (4, 4, 1, 2)]:
            convolution("conv2d", *shape)
        for shape in [(5, 5, 3, 4), (5, 5, 1, 6)]:
            convolution("conv2d_transpose", *shape)
        for filters in (3, 4, 3, 1):
            gamma, beta, mean = random.standard_normal((3, filters))
            variance = random.uniform(0.1, 2, filters)
            layer("batch_normalization", gamma=gamma, beta=beta, moving_mean=mean, moving_variance=variance)
    tensors["beta1_power"] = np.array(0.9)  # what Adam leaves in a checkpoint
    return {name: array.astype(np.float32) for name, array in tensors.items()}


@pytest.fixture
def converted(tmp_path):
    """Converts a checkpoint of these tensors, and gives the path of the graph."""

    def convert(tensors):
        (tmp_path / "spleeter.checkpoint").write_bytes(bundle(tensors))
        CONVERT(tmp_path / "spleeter.checkpoint", tmp_path / "spleeter.onnx")
        return tmp_path / "spleeter.onnx"

    return convert


def same_padding(size, width, stride=1, dilation=1):
    """What TensorFlow puts before and behind: as much as the last output wants, the odd one behind."""
    total = max((math.ceil(size / stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def convolved(sound, kernel, bias, stride=1, dilation=1):
    """`[rows, columns, channels]`, one output at a time."""
    width = kernel.shape[0]
    paddings = [same_padding(size, width, stride, dilation) for size in sound.shape[:2]]
    padded = np.pad(sound, (*paddings, (0, 0)))
    sizes = [math.ceil(size / stride) for size in sound.shape[:2]]
    out = np.empty((*sizes, kernel.shape[3]))
    reach = (width - 1) * dilation + 1
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            top, left = row * stride, column * stride
            seen = padded[top : top + reach : dilation, left : left + reach : dilation]
            out[row, column] = np.einsum("abi,abio->o", seen, kernel) + bias
    return out


def transposed(sound, kernel, bias):
    """Each input laid over the outputs that a convolution of stride 2 would have made it from."""
    rows, columns = (2 * size for size in sound.shape[:2])
    (top, bottom), (left, right) = (same_padding(size, 5, 2) for size in (rows, columns))
    out = np.zeros((rows + top + bottom, columns + left + right, kernel.shape[2]))
    for row in range(sound.shape[0]):
        for column in range(sound.shape[1]):
            out[2 * row : 2 * row + 5, 2 * column : 2 * column + 5] += np.einsum(
                "aboi,i->abo", kernel, sound[row, column]
            )
    return out[top : top + rows, left : left + columns] + bias


def plain_mask(tensors, mix):
    """Spleeter's two U-Nets and its mask in float64, level by level, `[rows, columns, 2]`."""

    def named(kind, number, *parts):
        name = f"{kind}_{number}" if number else kind
        return [tensors[f"{name}/{part}"].astype(np.float64) for part in parts]

    def norm(number, sound):
        gamma, beta, mean, variance = named(
            "batch_normalization", number, "gamma", "beta", "moving_mean", "moving_variance"
        )
        return gamma * (sound - mean) / np.sqrt(variance + 1e-3) + beta

    squares = []
    for unet in range(2):
        first = convolved(mix, *named("conv2d", 3 * unet, "kernel", "bias"), stride=2)
        active = norm(4 * unet, first)
        active = np.where(active > 0, active, 0.2 * active)
        second = convolved(active, *named("conv2d", 3 * unet + 1, "kernel", "bias"), stride=2)
        up = transposed(second, *named("conv2d_transpose", 2 * unet, "kernel", "bias"))
        up = np.concatenate([first, norm(4 * unet + 2, np.maximum(up, 0))], axis=-1)
        up = transposed(up, *named("conv2d_transpose", 2 * unet + 1, "kernel", "bias"))
        last = convolved(
            norm(4 * unet + 3, np.maximum(up, 0)), *named("conv2d", 3 * unet + 2, "kernel", "bias"), dilation=2
        )
        squares.append((mix / (1 + np.exp(-last))) ** 2)
    return (squares[0] + 0.5e-10) / (squares[0] + squares[1] + 1e-10)


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_graph_computes_what_spleeter_does(small, converted, package):
    pytest.importorskip(package)
    mix = np.abs(np.random.default_rng(1).standard_normal((COLUMNS, BINS, 2))) * 3
    mix[2:5, 3:] = 0  # where nothing sounds, the mask is a half
    graph = load_graph(converted(small), Runtime(package, "cpu"))
    (mask,) = graph.run({"mix": np.ascontiguousarray(mix.transpose(2, 0, 1)[None], np.float32)})
    np.testing.assert_allclose(mask[0].transpose(1, 2, 0), plain_mask(small, mix), atol=2e-5)  # float32 throughout
    assert np.ptp(mask) > 0.5
    np.testing.assert_allclose(mask[0, :, 2:5, 3:], 0.5)


def test_graph_is_a_valid_one(small, converted):
    onnx.checker.check_model(str(converted(small)), full_check=True)


def test_same_weights_give_the_same_bytes_everywhere(small, converted):
    """If this fails after a change of the conversion, so does the catalog's sha256 of the pretrained model."""
    counted = {name: np.arange(array.size).reshape(array.shape) for name, array in small.items()}
    assert hashlib.sha256(converted(counted).read_bytes()).hexdigest() == (
        "a749d644a24bd19c944dad9217c949d45e52c48d881db72bf75f208812a4fedb"
    )


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        (
            "conv2d_3/kernel",
            None,
            r"no 2-stem model of Spleeter: conv2d_3/kernel of shape \[5, 5, 2, 3\] wanted, nothing",
        ),
        ("conv2d/kernel", np.zeros((5, 5, 2, 4)), r"conv2d/kernel of shape .* wanted, shape \[5, 5, 2, 4\] found"),
        ("batch_normalization_7/beta", np.zeros(2), r"batch_normalization_7/beta of shape \[1\] wanted"),
    ],
)
def test_other_model_is_refused(small, converted, tmp_path, name, array, complaint):
    small.pop(name)
    if array is not None:
        small[name] = array
    with pytest.raises(ValueError, match=complaint):
        converted(small)
    assert not (tmp_path / "spleeter.onnx").exists()


PARTS = {
    "Conv": ("kernel", "bias"),
    "ConvTranspose": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
MEASURE = """
import sys
from pathlib import Path
from stemscribe.models.convert import CONVERSIONS
from stemscribe.pipeline.resources import peak_memory
CONVERSIONS["spleeter_checkpoint_to_onnx"](Path(sys.argv[1]), Path(sys.argv[2]))
print(peak_memory())
"""


@pytest.mark.models
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux tells it")
def test_pretrained_model_gives_the_bytes_of_the_catalog_in_less_than_half_a_gigabyte(model, tmp_path):
    """The checkpoint is made again from the graph that was made of it: the same weights, in TensorFlow's order."""
    (file,) = load_catalog()["spleeter"].files
    graph = onnx.load(model("spleeter") / file.name).graph
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    tensors = {}
    for node in graph.node:
        for part, name in zip(PARTS.get(node.op_type, ()), node.input[1:], strict=False):
            array = constants[name]
            tensors[f"{node.name}/{part}"] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    (tmp_path / "model.checkpoint").write_bytes(bundle(tensors))
    command = [sys.executable, "-c", MEASURE, tmp_path / "model.checkpoint", tmp_path / file.name]
    peak_bytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    content = (tmp_path / file.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    assert peak_bytes < 500_000_000


def test_catalog_knows_the_conversion():
    (source,) = load_catalog()["spleeter"].files[0].sources
    assert source.conversion in CONVERSIONS
