"""Packed weights: panels of output channels, transformed if the kernel requires it.

A *panel* is 32 output channels (the last one may have 16): one row of 32 weights for each input that these
channels share. Output and input channels are padded to a multiple of 16 with zeros; the kernels pad
activations likewise. Arrays are aligned to 64 bytes, a cache line and the widest register.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from yolo_max.kernels.precision import Precision

BLOCK = 16
PANEL = 2 * BLOCK
ALIGNMENT = 64

_A = 45 / 64
WINOGRAD_G = (
    np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -_A / 6, -(_A**2) / 6],
            [-1 / 6, _A / 6, -(_A**2) / 6],
            [1 / 24, _A / 12, _A**2 / 6],
            [1 / 24, -_A / 12, _A**2 / 6],
            [0, 0, _A**4],
        ]
    )
    / _A**4
)
"""G of F(4, 3) at the points 0, ±a, ±2a, infinity, a = 45/64: ``kernels/winograd.mojo``."""

POLYPHASE_G = np.array(
    [
        [-16 / 21, 0, -8 / 21],
        [16 / 21, 0, -8 / 21],
        [32 / 105, 0, 8 / 21],
        [-32 / 105, 0, 8 / 21],
        [0, 0, 1],
        [0, 1, 0],
    ]
)
"""G of F(4, 2) at ±1/2, ±5/4, infinity for the outer taps of a filter, and its middle tap as it is:
``kernels/polyphase.mojo``."""


def word_dtype(precision: Precision) -> type[np.generic]:
    """Element type of :func:`pack_direct` and :func:`pack_stem`: pairs of bfloat16 for bf16."""
    return np.uint32 if precision is Precision.BF16 else np.float32


def pack_direct(filters: NDArray[np.float32], precision: Precision, groups: int = 1) -> NDArray[Any]:
    """Packs for the direct convolution: rows in the order kernel row, input block, kernel column, channel.

    Args:
        filters: RSCF, ``[kh, kw, c1 / groups, c2]``.
        precision: For bf16, a row holds pairs of input channels (see :func:`_join_panels`).
        groups: Parts of the channels that are convolved by themselves; packed one behind the other.

    Returns:
        float32 for f32, uint32 for bf16, one-dimensional.
    """
    count = packed_groups(filters.shape[2] * groups, filters.shape[3], groups)
    parts = np.split(_block_diagonal(filters, groups // count, groups), count, axis=3)
    packed = [_pack_group(part, precision) for part in parts]
    return packed[0] if count == 1 else align(np.concatenate(packed))


def pack_transposed(
    filters: NDArray[np.float32], stride: tuple[int, int], padding: tuple[int, int], precision: Precision
) -> NDArray[Any]:
    """Packs for the transposed convolution: the taps of each phase as filters of the direct one.

    Args:
        filters: RSCF, ``[kh, kw, c1, c2]``: PyTorch's ``[c1, c2, kh, kw]``, transposed.
        stride: How many times the output is larger.
        padding: PyTorch's: rows and columns that are cut off.
        precision: See :func:`pack_direct`.
    """
    (sy, sx), (top, left) = stride, padding
    phases = [
        filters[(a + top) % sy :: sy, (b + left) % sx :: sx][::-1, ::-1]
        for a, b in itertools.product(range(sy), range(sx))
    ]
    return align(np.concatenate([_pack_group(phase, precision) for phase in phases]))


def direct_size(c1: int, c2: int, kernel: tuple[int, int], precision: Precision, groups: int = 1) -> int:
    """Number of elements of :func:`pack_direct`."""
    count = packed_groups(c1, c2, groups)
    rows = kernel[0] * kernel[1] * padded(c1 // count)
    return count * rows * padded(c2 // count) // _channels_per_word(precision)


def packed_groups(c1: int, c2: int, groups: int) -> int:
    """As how many groups they are packed: narrow ones are joined, with zeros between, if they fit a block."""
    if groups == 1:
        return 1
    widest = max(c1, c2) // groups
    counts = (n for n in range(1, groups) if groups % n == 0 and groups // n * widest <= BLOCK)
    return next(counts, groups)


def _block_diagonal(filters: NDArray[np.float32], joined: int, groups: int) -> NDArray[np.float32]:
    """Filters of ``groups / joined`` groups that compute what those of ``groups`` do."""
    height, width, c1, c2 = filters.shape
    if joined == 1:
        return filters
    whole = np.zeros((height, width, joined, c1, c2), filters.dtype)
    outputs = c2 // groups
    for group in range(groups):
        own = slice(group * outputs, (group + 1) * outputs)
        whole[:, :, group % joined, :, own] = filters[..., own]
    return whole.reshape(height, width, joined * c1, c2)


def _pack_group(filters: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    whole = _pad(_pad(filters, 3), 2)
    height, width, c1, c2 = whole.shape
    rows = whole.reshape(height, width, c1 // BLOCK, BLOCK, c2).transpose(0, 2, 1, 3, 4).reshape(-1, c2)
    return _join_panels(rows[None], precision)


def pack_stem(filters: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Packs for few channels: the columns and channels of a kernel row together, in parts of equal length."""
    height, width, c1, c2 = filters.shape
    words, parts = _stem_run(width * c1, precision)
    rows = filters.reshape(height, width * c1, c2)
    filled = parts * words * _channels_per_word(precision) - width * c1
    rows = np.pad(rows, ((0, 0), (0, filled), (0, 0)))
    return _join_panels(_pad(rows.reshape(-1, c2), 1)[None], precision)


def stem_size(c1: int, c2: int, kernel: tuple[int, int], precision: Precision) -> int:
    """Number of elements of :func:`pack_stem`."""
    words, parts = _stem_run(kernel[1] * c1, precision)
    return kernel[0] * parts * words * padded(c2)


def _stem_run(numbers: int, precision: Precision) -> tuple[int, int]:
    """Words of each part of a run of numbers, and how many parts; none is longer than a block of words."""
    words = -(-numbers // _channels_per_word(precision))
    parts = -(-words // BLOCK)
    return -(-words // parts), parts


def pack_depthwise(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    """Packs for the depthwise convolution: a row of channels, in whole blocks, for each tap.

    Args:
        filters: RSCF, ``[kh, kw, 1, c]``.

    Returns:
        float32 for all precisions, one-dimensional.
    """
    return align(_pad(filters, 3).reshape(-1))


def pack_tiles(filters: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Packs for the kernels that transform tiles: ``G g G'`` for each pair of channels.

    Transformed in float64 and rounded once; float32 for all precisions.

    Args:
        filters: RSCF, ``[k, k, c1, c2]``.
        matrix: G, ``[points, k]``: :data:`WINOGRAD_G` or :data:`POLYPHASE_G`.
    """
    whole = _pad(_pad(filters, 3), 2).astype(np.float64)
    # The Kronecker product applies the matrix along both axes at once.
    points = np.kron(matrix, matrix) @ whole.reshape(matrix.shape[1] ** 2, -1)
    return _join_panels(points.astype(np.float32).reshape(-1, *whole.shape[2:]), Precision.F32)


def tiles_size(c1: int, c2: int) -> int:
    """Number of elements of :func:`pack_tiles`."""
    return len(WINOGRAD_G) ** 2 * padded(c1) * padded(c2)


def pack_by_size(
    filters: NDArray[np.float32], matrix: NDArray[np.float64], precision: Precision
) -> NDArray[np.float32]:
    """Packs as :func:`pack_tiles`, and for f32 behind that as :func:`pack_direct`, for small maps."""
    tiles = pack_tiles(filters, matrix)
    return (
        align(np.concatenate([tiles, pack_direct(filters, precision)]))
        if precision is Precision.F32
        else tiles
    )


def by_size_size(c1: int, c2: int, precision: Precision) -> int:
    """Number of elements of :func:`pack_by_size`."""
    direct = direct_size(c1, c2, (3, 3), precision) if precision is Precision.F32 else 0
    return tiles_size(c1, c2) + direct


def pack_bias(bias: NDArray[np.float32], slopes: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Pads the biases to whole blocks; behind them the slopes of PReLU, likewise, and one block of zeros."""
    parts = [bias] if slopes is None else [bias, slopes, np.zeros(BLOCK, np.float32)]
    return align(np.concatenate([_pad(part, 0) for part in parts]).astype(np.float32))


def bias_size(c2: int, *, slopes: bool = False) -> int:
    """Number of elements of :func:`pack_bias`."""
    return 2 * padded(c2) + BLOCK if slopes else padded(c2)


def padded(channels: int) -> int:
    """Number of channels, padded to whole blocks; of symbolic channels too."""
    return (channels + BLOCK - 1) // BLOCK * BLOCK


def _empty(size: int) -> NDArray[np.uint8]:
    """So many bytes, aligned to 64."""
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def align(values: NDArray[Any]) -> NDArray[Any]:
    """A copy of the values, aligned to 64 bytes."""
    result = _empty(values.nbytes).view(values.dtype).reshape(values.shape)
    result[...] = values
    return result


def one_place(kinds: Mapping[str, tuple[DTypeLike, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """Room for arrays of these types and shapes, each aligned to 64 bytes, one behind the other in memory.

    NumPy asks Linux for huge pages where a block is large. A network reads all of its weights for each
    image, and would look up the address of every 4 KB of them.
    """
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for dtype, shape in kinds.values()]
    starts = [0, *itertools.accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
    block = _empty(starts[-1])
    return {
        name: block[start : start + size].view(dtype).reshape(shape)
        for (name, (dtype, shape)), start, size in zip(kinds.items(), starts, sizes, strict=False)
    }


def in_one_place(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copies of arrays in :func:`one_place`."""
    placed = one_place({name: (values.dtype, values.shape) for name, values in arrays.items()})
    for name, values in arrays.items():
        placed[name][...] = values
    return placed


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even, for finite values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def round_filters(rows: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds filters to bfloat16 and preserves the sum of each.

    The rounding error of one weight is carried to the next. With rounding to nearest, the errors of a filter
    add up, and inputs with a nonzero mean, as after a SiLU, turn the sum into a shift of the output: a good
    part of bfloat16's error (docs/performance.md).

    Args:
        rows: float32 ``[inputs, outputs]``, finite.

    Returns:
        Bits, ``[inputs, outputs]``. Zeros stay zero, and values that bfloat16 can represent are kept.
    """
    # The smallest last: they absorb the remaining error most exactly.
    order = np.argsort(-np.abs(rows), axis=0, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=0)
    lost = np.zeros(rows.shape[1:], np.float32)
    rounded = np.zeros(rows.shape, np.uint16)
    for row, bits in zip(ordered, rounded, strict=True):
        # Padding may be multiplied with another pixel, and must stay 0.
        wanted = np.where(row == 0, 0, row + lost)
        bits[...] = to_bf16(wanted)
        lost = wanted - (bits.astype(np.uint32) << 16).view(np.float32)
    result = np.empty_like(rounded)
    np.put_along_axis(result, order, rounded, axis=0)
    return result


def _channels_per_word(precision: Precision) -> int:
    return 2 if precision is Precision.BF16 else 1


def _pad(values: NDArray[Any], axis: int) -> NDArray[Any]:
    missing = padded(values.shape[axis]) - values.shape[axis]
    return np.pad(values, [(0, missing if i == axis else 0) for i in range(values.ndim)])


def _join_panels(matrices: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Cuts matrices ``[m, rows, c2]`` into panels, each with its part of every matrix in turn.

    For bf16 two rows become one row of 32-bit words, the even row in the low half.
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
