"""Spleeter's two U-Nets, of voices and of all else, as one ONNX graph made from the checkpoint that Deezer published.

The network is that of deezer/spleeter, `spleeter/model/functions/unet.py` (after Jansson et al., "Singing voice
separation with deep U-Net convolutional networks", ISMIR 2017), in the configuration of `2stems.json`; the mask at its
end is that of `_build_masks` in `spleeter/model/__init__.py`. What TensorFlow's `same` padding means is written out:
where the stride is 2 and the kernel 5 wide, one row before and two behind.

The weights are taken over bit by bit, with their axes in ONNX's order: nothing is computed here that another machine
could round otherwise. The norms stay nodes of their own, for none can be folded into a convolution exactly. Of the
encoder's convolutions, the decoder takes what is there before the norm; in the decoder, what is not linear comes before
the norm, and behind it a convolution whose padding knows nothing of what the norm adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stemscribe.models.convert.network import Network
from stemscribe.models.convert.weights import Tensor

CHANNELS, COLUMNS, BINS = 2, 512, 1024
FILTERS = (16, 32, 64, 128, 256, 512)
UNETS = ("vocals", "accompaniment")  # in the order in which they were built, and so numbered
MIX, MASK = "mix", "mask"  # the graph's input and output
LEAK = 0.2
NORM_EPSILON = 1e-3
MASK_EPSILON = 1e-10
# The padding of each axis: before both, then behind both.
HALVING = {"strides": [2, 2], "pads": [1, 1, 2, 2]}
WIDE = {"dilations": [2, 2], "pads": [3, 3, 3, 3]}


def write_graph(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the graph of the weights in a checkpoint; the same bytes for the same weights, on every machine.

    Its input `mix` is the magnitude of a spectrogram, `[1, 2, 512, 1024]` (channels, columns, bins). Its output `mask`
    has the same shape: which part of each bin belongs to the voices, from 0 to 1.

    Raises:
        ValueError: a weight is missing, or has another shape.
    """
    network = Network()
    layers = _Layers(network, tensors)
    _mask(network, *(_unet(network, layers, number) for number in range(len(UNETS))))
    shape = (1, CHANNELS, COLUMNS, BINS)
    network.write(path, "spleeter", {MIX: shape}, [(MASK, shape)])


def _unet(network: Network, layers: _Layers, number: int) -> str:
    """One U-Net: from the mix to the square of the magnitude that it hears of its stem."""
    levels = len(FILTERS)
    encoded, current, depth = [], MIX, CHANNELS
    for level, filters in enumerate(FILTERS):
        # The decoder, and the deepest level, take the convolution as it is, without its norm.
        current = layers.convolution(number * (levels + 1) + level, current, depth, filters, width=5, **HALVING)
        encoded.append(current)
        if level < levels - 1:
            current = layers.norm(2 * number * levels + level, current, filters)
            current = network.add("LeakyRelu", current, alpha=LEAK)
        depth = filters
    current = encoded.pop()
    for level, filters in enumerate((*FILTERS[-2::-1], 1)):
        current = layers.transposed(number * levels + level, current, depth, filters)
        current = network.add("Relu", current)
        current = layers.norm((2 * number + 1) * levels + level, current, filters)
        if encoded:
            current = network.add("Concat", encoded.pop(), current, axis=1)
        depth = 2 * filters
    current = layers.convolution(number * (levels + 1) + levels, current, 1, CHANNELS, width=4, **WIDE)
    share = network.add("Sigmoid", current, name=f"{UNETS[number]}/share")
    magnitude = network.add("Mul", share, MIX, name=f"{UNETS[number]}/magnitude")
    return network.add("Mul", magnitude, magnitude, name=f"{UNETS[number]}/square")


def _mask(network: Network, vocals: str, accompaniment: str) -> None:
    """Which part of the power of both stems is that of the voices; where there is none at all, a half."""
    part = network.add("Add", vocals, network.constant(MASK_EPSILON / 2))
    whole = network.add("Add", network.add("Add", vocals, accompaniment), network.constant(MASK_EPSILON))
    network.add("Div", part, whole, name=MASK)


@dataclass(frozen=True)
class _Layers:
    """What the checkpoint has weights of; Keras numbers the layers of each kind, through both U-Nets."""

    network: Network
    tensors: Mapping[str, Tensor]

    def convolution(
        self, number: int, current: str, depth: int, filters: int, *, width: int, **attributes: list[int]
    ) -> str:
        name = _numbered("conv2d", number)
        kernel = self._weight(f"{name}/kernel", width, width, depth, filters, order=(3, 2, 0, 1))
        bias = self._weight(f"{name}/bias", filters)
        return self.network.add("Conv", current, kernel, bias, name=name, **attributes)

    def transposed(self, number: int, current: str, depth: int, filters: int) -> str:
        name = _numbered("conv2d_transpose", number)
        kernel = self._weight(f"{name}/kernel", 5, 5, filters, depth, order=(3, 2, 0, 1))
        bias = self._weight(f"{name}/bias", filters)
        return self.network.add("ConvTranspose", current, kernel, bias, name=name, **HALVING)

    def norm(self, number: int, current: str, filters: int) -> str:
        name = _numbered("batch_normalization", number)
        parts = [
            self._weight(f"{name}/{part}", filters) for part in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        return self.network.add("BatchNormalization", current, *parts, name=name, epsilon=NORM_EPSILON)

    def _weight(self, name: str, *shape: int, order: tuple[int, ...] = (0,)) -> str:
        """A weight, with its axes in another order."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != shape:
            found = "nothing" if tensor is None else f"shape {list(tensor.shape)}"
            raise ValueError(f"it is no 2-stem model of Spleeter: {name} of shape {list(shape)} wanted, {found} found")
        return self.network.constant(tensor.read().transpose(order))


def _numbered(kind: str, number: int) -> str:
    """The name of a layer, as Keras numbers those of a kind."""
    return f"{kind}_{number}" if number else kind
