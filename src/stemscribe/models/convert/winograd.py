"""Convolutions with a kernel of three rows, in half of the multiplications: Winograd's F(4, 3), as nodes of a graph.

Four neighbouring rows of the output depend on six of the input. Computed one by one they take twelve products with rows
of the kernel; Winograd (Arithmetic Complexity of Computations, 1980) needs six, of combinations of the input's rows
with combinations of the kernel's, and the four rows are combinations of those (Lavin and Gray, Fast Algorithms for
Convolutional Neural Networks, 2016; the matrices are those for the points 0, ±1, ±2 and infinity). Only one of the two
axes is treated so: with both, more is spent on combining than is saved. In single precision the result differs by
rounding, some 130 dB below the sound.
"""

from __future__ import annotations

import numpy as np

from stemscribe.arrays import Array
from stemscribe.models.convert.network import Network

TILE = 4
"""How many rows are computed together; a tensor must have a multiple of it."""
_SEEN = 6  # of its input, and products that it takes
_OF_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_OF_KERNEL, _PARTS = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], float), 24


def combined_rows(net: Network, x: str, channels: int) -> list[str]:
    """What each of the six products takes of a tensor, `[1, channels, rows, columns]`, a row of silence around it.

    Returns:
        Six tensors `[1, channels, rows / 4, columns]`, for `convolved_rows`.
    """
    return [
        net.add(
            "Conv",
            x,
            net.constant(np.broadcast_to(shares[:, None], (channels, 1, _SEEN, 1))),
            kernel_shape=[_SEEN, 1],
            strides=[TILE, 1],
            pads=[1, 0, 1, 0],
            group=channels,
        )
        for shares in _OF_INPUT
    ]


def convolved_rows(net: Network, combined: list[str], kernel: Array, bias: Array) -> list[str]:
    """The convolution of a tensor, of which `combined_rows` was made, with a kernel `[outputs, channels, 3, width]`.

    Returns:
        Four tensors `[1, outputs, rows / 4, columns]`: of every four rows the first, the second, the third, the fourth.

    Raises:
        ValueError: the kernel has another form.
    """
    height, width = kernel.shape[2:]
    if height != 3 or width % 2 == 0:
        raise ValueError(f"a kernel of {height}x{width} is not one of three rows and an odd width")
    # Weights were published in half precision: the sums are exact, and quotients are rounded everywhere alike.
    kernels = (np.einsum("kr,ocrw->kocw", _OF_KERNEL, kernel.astype(np.float64)) / _PARTS).astype(np.float32)
    products = [
        net.add(
            "Conv",
            rows,
            net.constant(kernels[number][:, :, None]),
            # The second product is in all four rows once, and brings the bias along.
            *([net.constant(bias)] if number == 1 else []),
            kernel_shape=[1, width],
            pads=[0, width // 2, 0, width // 2],
        )
        for number, rows in enumerate(combined)
    ]
    first, near, opposite, far, opposite_far, last = products
    near_sum, near_difference = net.add("Add", near, opposite), net.add("Sub", near, opposite)
    far_sum, far_difference = net.add("Add", far, opposite_far), net.add("Sub", far, opposite_far)

    def and_times(x: str, factor: float, y: str) -> str:
        return net.add("Add", x, net.add("Mul", y, net.constant(factor)))

    return [
        net.add("Add", net.add("Add", first, near_sum), far_sum),
        and_times(near_difference, 2.0, far_difference),
        and_times(near_sum, 4.0, far_sum),
        net.add("Add", and_times(near_difference, 8.0, far_difference), last),
    ]


def in_order(net: Network, tiled: list[str], rows: int) -> str:
    """The rows of what `convolved_rows` returns in their own order, `[1, channels, rows, columns]`.

    Raises:
        ValueError: they are no multiple of four.
    """
    if rows % TILE:
        raise ValueError(f"{rows} rows are no multiple of {TILE}")
    each = [net.split(one, rows // TILE, axis=2) for one in tiled]
    return net.add("Concat", *(row for tile in zip(*each, strict=True) for row in tile), axis=2)
