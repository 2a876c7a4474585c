"""HTDemucs as a graph of our own, made from its weights: the same network, in the order in which a CPU likes it.

The exported graph follows the source code of adefossez/demucs (`demucs/htdemucs.py`, `hdemucs.py`, `transformer.py`,
`demucs.py`) line by line, and a quarter of its time goes into moving numbers about. What is different here, and why the
result is the same but for rounding (92 dB SNR against the exported graph):

- Sound in time is taken for a spectrogram of one bin: `[1, channels, bins, frames]` throughout. The residual branches,
  which see each bin for itself, are convolutions along one of two axes, and nothing is turned around for them.
- A gated linear unit is two convolutions, of which one goes through the sigmoid, instead of one that is cut in halves.
- The second norm of a residual branch costs two passes over its widest tensor. Its mean and variance follow from those
  of the narrow tensor before (16 times smaller) and the matrix in between: with `y = W h + b`, and `m` what becomes of
  the mean of `h`, the variance of `y` is that of `m` over the channels, plus `trace(W Cov(h) Wᵀ)` by their number.
  Norm, scale and shift then are part of that matrix, given the deviation and the mean as two more channels.
- Three of the decoder's four large kernels, across bins and along frames, take half of the products (`winograd.py`).
- Layer scales and the scale of attention are part of the matrices beside them; what transposed convolutions have too
  much is never computed; tokens stay in the order in which they lie in memory, because attention does not ask for it.
- Each stem has outputs of its own, so that a runtime computes only what is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.models.convert.network import Network
from stemscribe.models.convert.weights import Tensor
from stemscribe.models.convert.winograd import combined_rows, convolved_rows, in_order

SOURCES = ("drums", "bass", "other", "vocals")
MIX, SPECTROGRAM = "mix", "spectrogram"  # the inputs
CHANNELS, FRAMES = 2, 343980
COMPLEX, BINS, HOPS = 4, 2048, 336  # real and imaginary parts of both channels
DEPTH, KERNEL, STRIDE = 4, 8, 4
LAYERS, HEADS, WIDTH = 5, 8, 512
TILED_BINS = 128  # beyond, tensors of 33 MB are combined, which costs more than it saves where memory is slow
NORM_EPSILON = 1e-5
EMBEDDING_SCALE = 10 * 0.2  # ScaledEmbedding's own, and the share in which it is added
LONGEST_WAVE = 10000.0  # of the positions' sines
_ACROSS, _ALONG = 2, 3  # the axes of bins and of frames


def spectrum_of(stem: str) -> str:
    """The output with a stem's spectrogram, `[1, 4, 2048, 336]`."""
    return f"{stem}/spectrum"


def wave_of(stem: str) -> str:
    """The output with what the time branch adds to a stem, `[1, 2, 343980]`."""
    return f"{stem}/wave"


def write_graph(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the graph of the pretrained HTDemucs.

    Args:
        path: the file.
        tensors: its state dict.

    Raises:
        ValueError: a weight is missing.
    """
    network = Network()
    outputs = _HTDemucs(network, tensors).build()
    inputs = {MIX: (1, CHANNELS, FRAMES), SPECTROGRAM: (1, COMPLEX, BINS, HOPS)}
    network.write(path, "htdemucs", inputs, outputs)


@dataclass(frozen=True)
class _Level:
    """What one level of a U-Net works on, and how.

    Attributes:
        bins: after its convolution; 1 in time.
        frames: after its convolution.
        axis: along which it is shortened to a quarter.
        missing: frames that are lacking of a multiple of four before it.
    """

    bins: int
    frames: int
    axis: int
    missing: int = 0


def _levels_across() -> list[_Level]:
    return [_Level(BINS // STRIDE ** (level + 1), HOPS, _ACROSS) for level in range(DEPTH)]


def _levels_along() -> list[_Level]:
    levels, frames = [], FRAMES
    for _ in range(DEPTH):
        shorter = -(-frames // STRIDE)
        levels.append(_Level(1, shorter, _ALONG, shorter * STRIDE - frames))
        frames = shorter
    return levels


@dataclass(frozen=True)
class _Standard:
    """A tensor brought to zero mean and unit deviation, and the way back."""

    tensor: str
    mean: str
    deviation: str


class _HTDemucs:
    """The network, module by module; names of weights are those of the state dict."""

    def __init__(self, network: Network, tensors: Mapping[str, Tensor]) -> None:
        self._net, self._tensors = network, tensors

    def build(self) -> list[tuple[str, tuple[int, ...]]]:
        """The whole of it; returns the outputs with their shapes."""
        net = self._net
        net.scope = "input"
        wave = net.add("Reshape", MIX, net.integers(1, CHANNELS, 1, FRAMES))
        across = self._standardised(SPECTROGRAM, COMPLEX * BINS * HOPS)
        along = self._standardised(wave, CHANNELS * FRAMES)
        x, skips = self._encoded("encoder", across.tensor, _levels_across())
        xt, skips_t = self._encoded("tencoder", along.tensor, _levels_along())
        x, xt = self._transformed(x, xt, _levels_across()[-1], _levels_along()[-1])
        x = self._decoded("decoder", x, skips, _levels_across())
        xt = self._decoded("tdecoder", xt, skips_t, _levels_along())
        outputs: list[tuple[str, tuple[int, ...]]] = []
        for index, stem in enumerate(SOURCES):
            outputs.append((self._stem(spectrum_of(stem), "decoder", index, x, across, 0), (1, COMPLEX, BINS, HOPS)))
            outputs.append((self._stem(wave_of(stem), "tdecoder", index, xt, along, 1), (1, CHANNELS, FRAMES)))
        return outputs

    # The U-Nets

    def _encoded(self, name: str, x: str, levels: list[_Level]) -> tuple[str, list[str]]:
        """What the encoder makes of a tensor, and what it leaves for the decoder, level by level."""
        left = []
        for number, level in enumerate(levels):
            part = self._net.scope = f"{name}.{number}"
            kernel, bias = self._weight(f"{part}.conv.weight"), self._weight(f"{part}.conv.bias")
            behind = 2 + level.missing
            x = self._gelu(self._convolution(x, kernel, bias, level.axis, pads=(2, behind), stride=STRIDE))
            x = self._residual(f"{part}.dconv", x, level)
            self._net.scope = part
            x = self._gated(x, self._weight(f"{part}.rewrite.weight"), self._weight(f"{part}.rewrite.bias"))
            if part == "encoder.0":
                table = self._weight("freq_emb.embedding.weight") * np.float32(EMBEDDING_SCALE)
                x = self._net.add("Add", x, self._net.constant(table.T[None, :, :, None]))
            left.append(x)
        return x, left

    def _decoded(self, name: str, x: str, left: list[str], levels: list[_Level]) -> str:
        """The last level's tensor, from which the stems are taken."""
        for number, (skip, level) in enumerate(zip(left[::-1], levels[::-1], strict=True)):
            part = self._net.scope = f"{name}.{number}"
            x = self._net.add("Add", x, skip)
            kernel, bias = self._weight(f"{part}.rewrite.weight"), self._weight(f"{part}.rewrite.bias")
            is_tiled = 1 < level.bins <= TILED_BINS
            x = self._gated_in_tiles(x, kernel, bias, level.bins) if is_tiled else self._gated(x, kernel, bias)
            x = self._residual(f"{part}.dconv", x, level)
            self._net.scope = part
            if number < DEPTH - 1:
                kernel, bias = self._weight(f"{part}.conv_tr.weight"), self._weight(f"{part}.conv_tr.bias")
                x = self._gelu(self._transposed(x, kernel, bias, level))
        return x

    def _stem(self, output: str, name: str, index: int, x: str, level: _Standard, branch: int) -> str:
        """A stem of one branch at the level of its input: what the last transposed convolution says of it."""
        net, part = self._net, f"{name}.{DEPTH - 1}"
        net.scope = output
        kernel, bias = self._weight(f"{part}.conv_tr.weight"), self._weight(f"{part}.conv_tr.bias")
        each = len(bias) // len(SOURCES)
        own = slice(index * each, (index + 1) * each)
        levels = (_levels_across, _levels_along)[branch]()
        x = net.add("Mul", self._transposed(x, kernel[:, own], bias[own], levels[0]), level.deviation)
        if branch == 0:
            return net.add("Add", x, level.mean, name=output)
        return net.add("Reshape", net.add("Add", x, level.mean), net.integers(1, CHANNELS, FRAMES), name=output)

    def _residual(self, name: str, x: str, level: _Level) -> str:
        """`DConv`: two narrow branches, each added to what it has heard; every bin for itself."""
        for number in range(2):
            part = self._net.scope = f"{name}.layers.{number}"
            width, dilation = self._weight(f"{part}.0.weight"), 2**number
            h = self._convolution(
                x, width, self._weight(f"{part}.0.bias"), _ALONG, pads=(dilation, dilation), dilation=dilation
            )
            h = self._net.add("Mul", self._normed(h, [1, 3]), self._per_channel(self._weight(f"{part}.1.weight")))
            h = self._gelu(self._net.add("Add", h, self._per_channel(self._weight(f"{part}.1.bias"))))
            x = self._net.add("Add", x, self._widened(part, h, level))
        return x

    def _widened(self, part: str, h: str, level: _Level) -> str:
        """The second half of a residual branch: matrix, norm, gate and layer scale, of `[1, hidden, bins, frames]`."""
        net = self._net
        matrix, bias = self._weight(f"{part}.3.weight")[:, :, 0], self._weight(f"{part}.3.bias")
        gain, shift = self._weight(f"{part}.4.weight"), self._weight(f"{part}.4.bias")
        scale = self._weight(f"{part}.6.scale")
        mean, deviation = self._foreseen(h, matrix, bias, level)
        each = net.integers(1, 1, level.bins, level.frames)
        inverse = net.add("Div", net.constant(1.0), deviation)
        told = [
            net.add("Mul", h, inverse),
            *(net.add("Expand", one, each) for one in (inverse, net.add("Mul", mean, inverse))),
        ]
        h = net.add("Concat", *told, axis=1)
        # (W h + b - mean) / deviation * gain, with 1 / deviation and mean / deviation among the channels.
        whole = np.concatenate([gain[:, None] * matrix, (gain * bias)[:, None], -gain[:, None]], axis=1)
        half = len(scale)
        passed = self._pointwise(h, scale[:, None] * whole[:half], scale * shift[:half])
        gate = net.add("Sigmoid", self._pointwise(h, whole[half:], shift[half:]))
        return net.add("Mul", passed, gate)

    def _foreseen(self, h: str, matrix: Array, bias: Array, level: _Level) -> tuple[str, str]:
        """Mean and deviation of `matrix h + bias` in each bin, `[1, 1, bins, 1]`, without computing it."""
        net = self._net
        centre = net.add("ReduceMean", h, axes=[_ALONG], keepdims=1)
        around = net.add("Sub", h, centre)
        left, right = (net.add("Transpose", around, perm=perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1]))
        spread = net.add("MatMul", net.add("MatMul", left, right), net.constant(matrix.T))
        # The mean over the outputs of the sum over the inputs, which ReduceMean divides by their number.
        share = np.float32(matrix.shape[1]) / np.float32(level.frames)
        spread = net.add("Mul", spread, net.constant(matrix.T * share))
        within = net.add("ReduceMean", spread, axes=[2, 3], keepdims=1)
        within = net.add("Reshape", within, net.integers(1, 1, level.bins, 1))
        centres = self._pointwise(centre, matrix, bias)
        mean = net.add("ReduceMean", centres, axes=[1], keepdims=1)
        apart = net.add("Sub", centres, mean)
        between = net.add("ReduceMean", net.add("Mul", apart, apart), axes=[1], keepdims=1)
        variance = net.add("Add", net.add("Add", within, between), net.constant(NORM_EPSILON))
        return mean, net.add("Sqrt", variance)

    # The transformer in the middle

    def _transformed(self, x: str, xt: str, across: _Level, along: _Level) -> tuple[str, str]:
        """Both branches through the cross-domain transformer."""
        x, xt = self._resampled("channel_upsampler", x), self._resampled("channel_upsampler_t", xt)
        name, net = "crosstransformer", self._net
        net.scope = f"{name}.norm_in"
        count, count_t = across.bins * across.frames, along.frames
        x = self._layer_norm(f"{name}.norm_in", self._as_tokens(x, count))
        x = net.add("Add", x, self._positions_in_plane(across))
        xt = self._layer_norm(f"{name}.norm_in_t", self._as_tokens(xt, count_t))
        xt = net.add("Add", xt, self._positions_in_time(count_t))
        for number in range(LAYERS):
            layer, layer_t = f"{name}.layers.{number}", f"{name}.layers_t.{number}"
            if number % 2:
                x, xt = self._cross(layer, x, xt, count, count_t), self._cross(layer_t, xt, x, count_t, count)
            else:
                x, xt = self._self(layer, x, count), self._self(layer_t, xt, count_t)
        net.scope = "channel_downsampler"
        x, xt = self._as_channels(x, across.bins, across.frames), self._as_channels(xt, 1, count_t)
        return self._resampled("channel_downsampler", x), self._resampled("channel_downsampler_t", xt)

    def _resampled(self, name: str, x: str) -> str:
        self._net.scope = name
        return self._pointwise(x, self._weight(f"{name}.weight")[:, :, 0], self._weight(f"{name}.bias"))

    def _self(self, name: str, x: str, count: int) -> str:
        """A layer in which tokens attend to those of their own branch."""
        self._net.scope = name
        heard = self._layer_norm(f"{name}.norm1", x)
        scale = self._weight(f"{name}.gamma_1.scale")
        x = self._net.add("Add", x, self._attention(f"{name}.self_attn", heard, heard, scale, count, count))
        return self._fed_forward(name, x, self._layer_norm(f"{name}.norm2", x), count)

    def _cross(self, name: str, x: str, other: str, count: int, others: int) -> str:
        """A layer in which tokens attend to those of the other branch."""
        self._net.scope = name
        asking, heard = self._layer_norm(f"{name}.norm1", x), self._layer_norm(f"{name}.norm2", other)
        scale = self._weight(f"{name}.gamma_1.scale")
        x = self._net.add("Add", x, self._attention(f"{name}.cross_attn", asking, heard, scale, count, others))
        return self._fed_forward(name, x, self._layer_norm(f"{name}.norm3", x), count)

    def _attention(self, name: str, asking: str, heard: str, scale: Array, count: int, others: int) -> str:
        net = self._net
        matrices = np.split(self._weight(f"{name}.in_proj_weight"), 3)
        biases = np.split(self._weight(f"{name}.in_proj_bias"), 3)
        share = np.float32(1 / math.sqrt(WIDTH // HEADS))  # a power of two: the same to the last bit
        queries = self._heads(self._linear(asking, matrices[0] * share, biases[0] * share), count, [0, 2, 1, 3])
        keys = self._heads(self._linear(heard, matrices[1], biases[1]), others, [0, 2, 3, 1])
        values = self._heads(self._linear(heard, matrices[2], biases[2]), others, [0, 2, 1, 3])
        found = net.add("MatMul", net.add("Softmax", net.add("MatMul", queries, keys), axis=-1), values)
        found = net.add("Transpose", found, perm=[0, 2, 1, 3])
        found = net.add("Reshape", found, net.integers(1, count, WIDTH))
        out, bias = self._weight(f"{name}.out_proj.weight"), self._weight(f"{name}.out_proj.bias")
        return self._linear(found, scale[:, None] * out, scale * bias)

    def _heads(self, x: str, count: int, order: list[int]) -> str:
        shape = self._net.integers(1, count, HEADS, WIDTH // HEADS)
        return self._net.add("Transpose", self._net.add("Reshape", x, shape), perm=order)

    def _fed_forward(self, name: str, x: str, heard: str, count: int) -> str:
        """The feed-forward half of a layer, and the norm at its end.

        Its two matrices are convolutions here, which the CPU's libraries multiply a tenth faster.
        """
        net = self._net
        scale = self._weight(f"{name}.gamma_2.scale")
        h = self._as_channels(heard, 1, count)
        h = self._gelu(self._pointwise(h, self._weight(f"{name}.linear1.weight"), self._weight(f"{name}.linear1.bias")))
        second, bias = self._weight(f"{name}.linear2.weight"), self._weight(f"{name}.linear2.bias")
        h = self._as_tokens(self._pointwise(h, scale[:, None] * second, scale * bias), count)
        x = self._normed(net.add("Add", x, h), [1, 2])
        x = net.add("Mul", x, net.constant(self._weight(f"{name}.norm_out.weight")))
        return net.add("Add", x, net.constant(self._weight(f"{name}.norm_out.bias")))

    def _positions_in_plane(self, level: _Level) -> str:
        """`create_2d_sin_embedding`, `[1, bins * frames, 512]`: half of it tells the frame, half of it the bin."""
        net, half = self._net, WIDTH // 2
        slowness = np.exp(np.arange(0, half, 2) * -(math.log(LONGEST_WAVE) / half)).astype(np.float32)
        told = []
        for count, shape in ((level.frames, (1, level.frames)), (level.bins, (level.bins, 1))):
            angles = self._angles(count, slowness)
            pairs = [net.add("Unsqueeze", net.add(kind, angles), net.integers(2)) for kind in ("Sin", "Cos")]
            rows = net.add("Reshape", net.add("Concat", *pairs, axis=2), net.integers(*shape, half))
            told.append(net.add("Expand", rows, net.integers(level.bins, level.frames, half)))
        plane = net.add("Concat", *told, axis=2)
        return net.add("Reshape", plane, net.integers(1, level.bins * level.frames, WIDTH))

    def _positions_in_time(self, count: int) -> str:
        """`create_sin_embedding`, `[1, frames, 512]`."""
        net, half = self._net, WIDTH // 2
        angles = self._angles(count, (LONGEST_WAVE ** -(np.arange(half) / (half - 1))).astype(np.float32))
        told = net.add("Concat", net.add("Cos", angles), net.add("Sin", angles), axis=1)
        return net.add("Unsqueeze", told, net.integers(0))

    def _angles(self, count: int, slowness: Array) -> str:
        """Position times frequency, `[count, frequencies]`.

        Sine and cosine are left to the runtime, which computes them once: of two million, some round otherwise on
        another machine, and then its file would be another.
        """
        places = np.arange(count, dtype=np.float32)[:, None]
        return self._net.add("Mul", self._net.constant(places), self._net.constant(slowness[None]))

    # What all of them are made of

    def _weight(self, name: str) -> npt.NDArray[np.float32]:
        if name not in self._tensors:
            raise ValueError(f"it is no HTDemucs: {name} is missing")
        tensor: npt.NDArray[Any] = self._tensors[name].read()
        return tensor.astype(np.float32)

    def _per_channel(self, values: Array) -> str:
        return self._net.constant(values.reshape(1, -1, 1, 1))

    def _pointwise(self, x: str, matrix: Array, bias: Array) -> str:
        """A matrix for the channels of every bin and frame."""
        return self._net.add(
            "Conv", x, self._net.constant(matrix[:, :, None, None]), self._net.constant(bias), kernel_shape=[1, 1]
        )

    def _convolution(
        self,
        x: str,
        kernel: Array,
        bias: Array,
        axis: int,
        *,
        pads: tuple[int, int],
        stride: int = 1,
        dilation: int = 1,
    ) -> str:
        """A convolution along one axis; of a kernel for two axes, the other one is 1 long."""
        kernel = kernel.reshape(*kernel.shape[:2], -1)
        before, behind = pads
        if axis == _ALONG:
            kernel, steps, dilations, padding = kernel[:, :, None], [1, stride], [1, dilation], [0, before, 0, behind]
        else:
            kernel, steps, dilations, padding = kernel[..., None], [stride, 1], [dilation, 1], [before, 0, behind, 0]
        return self._net.add(
            "Conv",
            x,
            self._net.constant(kernel),
            self._net.constant(bias),
            kernel_shape=list(kernel.shape[2:]),
            strides=steps,
            pads=padding,
            dilations=dilations,
        )

    def _transposed(self, x: str, kernel: Array, bias: Array, level: _Level) -> str:
        """A transposed convolution that gives what the level's convolution was given: the rest is cut off at once."""
        kernel = kernel.reshape(*kernel.shape[:2], -1)
        behind = 2 + level.missing
        if level.axis == _ALONG:
            kernel, steps, padding = kernel[:, :, None], [1, STRIDE], [0, 2, 0, behind]
        else:
            kernel, steps, padding = kernel[..., None], [STRIDE, 1], [2, 0, behind, 0]
        return self._net.add(
            "ConvTranspose",
            x,
            self._net.constant(kernel),
            self._net.constant(bias),
            kernel_shape=list(kernel.shape[2:]),
            strides=steps,
            pads=padding,
        )

    def _gated(self, x: str, kernel: Array, bias: Array) -> str:
        """A gated linear unit over a convolution with a kernel of width 1 or 3, as two convolutions."""
        half = len(bias) // 2
        kernel = kernel if kernel.ndim == 4 else kernel[:, :, None]  # of sound in time: one bin
        around = [length // 2 for length in kernel.shape[2:]]
        parts = [
            self._net.add(
                "Conv",
                x,
                self._net.constant(kernel[part]),
                self._net.constant(bias[part]),
                kernel_shape=list(kernel.shape[2:]),
                pads=around * 2,
            )
            for part in (slice(half), slice(half, None))
        ]
        return self._net.add("Mul", parts[0], self._net.add("Sigmoid", parts[1]))

    def _gated_in_tiles(self, x: str, kernel: Array, bias: Array, bins: int) -> str:
        """The same over a kernel of 3x3, four bins at a time."""
        half, combined = len(bias) // 2, combined_rows(self._net, x, kernel.shape[1])
        passed, gates = (
            convolved_rows(self._net, combined, kernel[part], bias[part]) for part in (slice(half), slice(half, None))
        )
        tiled = [
            self._net.add("Mul", one, self._net.add("Sigmoid", gate)) for one, gate in zip(passed, gates, strict=True)
        ]
        return in_order(self._net, tiled, bins)

    def _gelu(self, x: str) -> str:
        """Spelled as PyTorch's exporter does, which every runtime knows to be one function."""
        net = self._net
        share = net.add("Add", net.add("Erf", net.add("Div", x, net.constant(math.sqrt(2)))), net.constant(1.0))
        return net.add("Mul", net.add("Mul", x, share), net.constant(0.5))

    def _linear(self, x: str, matrix: Array, bias: Array) -> str:
        return self._net.add("Add", self._net.add("MatMul", x, self._net.constant(matrix.T)), self._net.constant(bias))

    def _layer_norm(self, name: str, x: str) -> str:
        gain, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._net.add(
            "LayerNormalization", x, self._net.constant(gain), self._net.constant(shift), axis=-1, epsilon=NORM_EPSILON
        )

    def _normed(self, x: str, axes: list[int]) -> str:
        """Zero mean and unit variance over some axes."""
        net = self._net
        around = net.add("Sub", x, net.add("ReduceMean", x, axes=axes, keepdims=1))
        variance = net.add("ReduceMean", net.add("Mul", around, around), axes=axes, keepdims=1)
        return net.add("Div", around, net.add("Sqrt", net.add("Add", variance, net.constant(NORM_EPSILON))))

    def _standardised(self, x: str, count: int) -> _Standard:
        """An input as the network wants it: by the mean and the unbiased deviation of all its numbers."""
        net, axes = self._net, [1, 2, 3]
        mean = net.add("ReduceMean", x, axes=axes, keepdims=1)
        around = net.add("Sub", x, mean)
        power = net.add("ReduceMean", net.add("Mul", around, around), axes=axes, keepdims=1)
        deviation = net.add("Sqrt", net.add("Mul", power, net.constant(count / (count - 1))))
        return _Standard(net.add("Div", around, net.add("Add", deviation, net.constant(NORM_EPSILON))), mean, deviation)

    def _as_tokens(self, x: str, count: int) -> str:
        """`[1, 512, bins, frames]` as `[1, bins * frames, 512]`."""
        x = self._net.add("Transpose", x, perm=[0, 2, 3, 1])
        return self._net.add("Reshape", x, self._net.integers(1, count, WIDTH))

    def _as_channels(self, x: str, bins: int, frames: int) -> str:
        """`[1, bins * frames, 512]` as `[1, 512, bins, frames]`."""
        x = self._net.add("Reshape", x, self._net.integers(1, bins, frames, WIDTH))
        return self._net.add("Transpose", x, perm=[0, 3, 1, 2])
