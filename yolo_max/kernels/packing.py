"""Weights as the kernels read them: panels of output channels, transformed where the algorithm asks for it.

A *panel* is 32 output channels (the last one 16, if so few are left): one row of 32 weights for each input
that these channels share. Output channels are filled up to a multiple of 16 with zeros, and so are input
channels, whose activations the kernels fill up likewise. Arrays begin at a multiple of 64 bytes, a cache
line and the widest register there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels.conv_kernel import Algorithm
from yolo_max.kernels.precision import Precision

BLOCK = 16
PANEL = 2 * BLOCK
ALIGNMENT = 64

WINOGRAD = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""G of F(4, 3) at the points 0, 1, -1, 2, -2, infinity: ``kernels/winograd.mojo``."""

POLYPHASE = np.array(
    [
        [1 / 2, 0, 0],
        [-1 / 2, 0, -1 / 2],
        [-1 / 6, 0, 1 / 6],
        [1 / 6, 0, 1 / 3],
        [0, 0, 1],
        [0, 1, 0],
    ]
)
"""G of F(4, 2) for the outer taps of a filter, and its middle tap as it is: ``kernels/polyphase.mojo``."""


def pack_weights(
    tensors: Mapping[str, NDArray[np.float32]], algorithms: Mapping[str, Algorithm], precision: Precision
) -> dict[str, NDArray[Any]]:
    """Lays a network's tensors out as its graph wants them.

    Args:
        tensors: Filters RSCF and biases, by the checkpoint's names.
        algorithms: What each convolution runs on, by its name ("model.0.conv"); one that is not there runs on
            MAX's own operations, which take tensors as they are stored.
        precision: Of the activations.

    Returns:
        Arrays by the same names.
    """
    packed: dict[str, NDArray[Any]] = dict(tensors)
    for name, algorithm in algorithms.items():
        packed[f"{name}.weight"] = pack_filters(tensors[f"{name}.weight"], algorithm, precision)
        packed[f"{name}.bias"] = pack_bias(tensors[f"{name}.bias"])
    return packed


def pack_filters(filters: NDArray[np.float32], algorithm: Algorithm, precision: Precision) -> NDArray[Any]:
    """Packs filters, RSCF ``[k, k, c1, c2]``, for an algorithm; one-dimensional."""
    match algorithm:
        case Algorithm.STEM:
            return pack_stem(filters, precision)
        case Algorithm.DIRECT:
            return pack_direct(filters, precision)
        case Algorithm.WINOGRAD:
            return pack_squares(filters, WINOGRAD)
        case Algorithm.POLYPHASE:
            return pack_squares(filters, POLYPHASE)


def packed_size(c1: int, c2: int, k: int, algorithm: Algorithm, precision: Precision) -> int:
    """Elements that :func:`pack_filters` gives for filters of this shape."""
    if algorithm in (Algorithm.WINOGRAD, Algorithm.POLYPHASE):
        return len(WINOGRAD) ** 2 * filled(c1) * filled(c2)
    rows = k * k * filled(c1)
    if algorithm is Algorithm.STEM:
        rows = k * (k * c1 + (k * c1 % 2 if precision is Precision.BF16 else 0))
    return rows * filled(c2) // (2 if precision is Precision.BF16 else 1)


def pack_direct(filters: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Packs for the direct convolution: rows in the order kernel row, input block, kernel column, channel.

    Args:
        filters: RSCF, ``[k, k, c1, c2]``.
        precision: For bf16, a row holds pairs of input channels (see :func:`_join_panels`).

    Returns:
        float32 for f32, uint32 for bf16, one-dimensional.
    """
    padded = _fill(_fill(filters, 3), 2)
    k, _, c1, c2 = padded.shape
    rows = padded.reshape(k, k, c1 // BLOCK, BLOCK, c2).transpose(0, 2, 1, 3, 4).reshape(-1, c2)
    return _join_panels(rows[None], precision)


def pack_stem(filters: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Packs for the first convolution: the weights of one kernel row, all columns and colors, together.

    For bf16 a zero is added where that makes an odd number, so that pairs do not cross kernel rows.
    """
    k, _, c1, c2 = filters.shape
    rows = filters.reshape(k, k * c1, c2)
    if precision is Precision.BF16 and k * c1 % 2:
        rows = np.pad(rows, ((0, 0), (0, 1), (0, 0)))
    return _join_panels(_fill(rows.reshape(-1, c2), 1)[None], precision)


def pack_squares(filters: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Packs for the algorithms that transform squares: ``G g G'`` for each pair of channels.

    Transformed in float64, rounded once; float32 whatever the activations are.

    Args:
        filters: RSCF, ``[3, 3, c1, c2]``.
        matrix: G, ``[points, 3]``: :data:`WINOGRAD` or :data:`POLYPHASE`.
    """
    padded = _fill(_fill(filters, 3), 2).astype(np.float64)
    # The Kronecker product applies the matrix along both axes at once.
    points = np.kron(matrix, matrix) @ padded.reshape(9, -1)
    return _join_panels(points.astype(np.float32).reshape(-1, *padded.shape[2:]), Precision.F32)


def pack_bias(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fills the biases up to whole blocks."""
    return align(_fill(bias, 0).astype(np.float32))


def filled(channels: int) -> int:
    """Channels, filled up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK


def align(values: NDArray[Any]) -> NDArray[Any]:
    """The same values, beginning at a multiple of 64 bytes."""
    buffer = np.empty(values.nbytes + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    result = buffer[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    result[...] = values
    return result


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even; the values are finite."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def round_filters(rows: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds filters to bfloat16 so that the sum of each stays what it was.

    What one weight loses is given to the next. If all are rounded to the nearest, the errors of a filter add
    up to something, which inputs that share a mean, as those behind a SiLU do, turn into a shift of the
    output: on YOLOv8n that is a good part of what bfloat16 costs (docs/performance.md).

    Args:
        rows: float32 ``[inputs, outputs]``, finite.

    Returns:
        Bits, ``[inputs, outputs]``. Zeros stay zero, and so does everything that bfloat16 can hold.
    """
    # The smallest last, which take what is left most exactly.
    order = np.argsort(-np.abs(rows), axis=0, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=0)
    lost = np.zeros(rows.shape[1:], np.float32)
    rounded = np.zeros(rows.shape, np.uint16)
    for row, bits in zip(ordered, rounded, strict=True):
        # What fills up a filter may be multiplied with another pixel, and stays 0.
        wanted = np.where(row == 0, 0, row + lost)
        bits[...] = to_bf16(wanted)
        lost = wanted - (bits.astype(np.uint32) << 16).view(np.float32)
    result = np.empty_like(rounded)
    np.put_along_axis(result, order, rounded, axis=0)
    return result


def _fill(values: NDArray[Any], axis: int) -> NDArray[Any]:
    missing = filled(values.shape[axis]) - values.shape[axis]
    return np.pad(values, [(0, missing if i == axis else 0) for i in range(values.ndim)])


def _join_panels(matrices: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Cuts matrices ``[m, rows, c2]`` into panels, each with its part of every matrix, one after the other.

    For bf16 two rows become one of 32-bit words: the even row in the low half.
    """
    if precision is Precision.BF16:
        rows = matrices.reshape(-1, matrices.shape[2])
        halves = round_filters(rows).reshape(matrices.shape).astype(np.uint32)
        words: NDArray[Any] = halves[:, 0::2] | halves[:, 1::2] << 16
    else:
        words = matrices
    joined = align(np.empty(words.size, words.dtype))
    position = 0
    for first in range(0, words.shape[2], PANEL):
        panel = words[:, :, first : first + PANEL]
        joined[position : position + panel.size].reshape(panel.shape)[...] = panel
        position += panel.size
    return joined
