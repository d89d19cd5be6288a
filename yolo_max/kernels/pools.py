"""Average pools and resizing on the Mojo kernels, for any MAX graph on a CPU.

Maps are NHWC, float32 or bfloat16, plain tensors or views; sums are float32. What a graph needs is said in
``kernels/ops.py``, which has the max-pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from max.dtype import DType
from max.graph import Dim, TensorType, ops

from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.kernel_table import KernelTable
from yolo_max.kernels.ops import (
    CPU,
    Map,
    one_slice,
    pool_params,
    precision_of,
    run_kernel,
)
from yolo_max.kernels.window import Pair, pair

AVERAGE_POOL, RESIZE = range(2)
"""Their indices in ``kernels/pools.mojo``."""
POOLS = KernelTable("pools_table", 2)
INCLUDE_PADDING, EXCLUDE_PADDING = 0, -1
"""Divisors of averages; the numbers are those of ``kernels/pool.mojo``."""


class Resize(IntEnum):
    """How an output finds its pixels; the numbers are those of ``kernels/resize.mojo``."""

    NEAREST = 0
    NEAREST_EXACT = 1
    BILINEAR = 2
    BILINEAR_ALIGNED = 3


def average_pool(
    x: Map,
    k: int | Pair,
    s: int | Pair | None = None,
    p: int | Pair = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> FeatureMap:
    """Averages windows, as ``torch.nn.AvgPool2d`` does.

    Args:
        x: ``[B, H, W, C]``.
        k: Height and width of the window, or both in one number; so are the next two.
        s: Stride; by default ``k``.
        p: Padding with zeros.
        ceil_mode: Whether a last window may begin on the map and end behind its padding.
        count_include_pad: Whether padding counts as places of a window.
        divisor_override: What sums are divided by instead.

    Returns:
        ``[B, h, w, C]``.
    """
    divisor = INCLUDE_PADDING if count_include_pad else EXCLUDE_PADDING
    params, size = pool_params(x, k, k if s is None else s, p, 1, ceil_mode)
    return _run(AVERAGE_POOL, [divisor_override or divisor, *params], x, size)


def adaptive_average_pool(x: Map, size: int | Pair) -> FeatureMap:
    """Averages ``[B, H, W, C]`` to ``size``, as ``torch.nn.AdaptiveAvgPool2d`` does; 1 is the average."""
    return _run(AVERAGE_POOL, [INCLUDE_PADDING, *[0, 1, 0, 1] * 2], x, pair(size))


def resize(
    x: Map, size: tuple[int | Dim, int | Dim], mode: Resize, *, scale: tuple[float, float] | None = None
) -> FeatureMap:
    """Resizes ``[B, H, W, C]`` to ``size``, to the pixels that ``torch.nn.functional.interpolate`` takes.

    Args:
        x: The map.
        size: Height and width of the result.
        mode: How pixels are found.
        scale: PyTorch's ``scale_factor``, if that is to find the pixels; by default the sizes do. It has no
            meaning for aligned corners.
    """
    bits = [0, 0] if scale is None else [int(np.float32(1 / each).view(np.int32)) for each in scale]
    return _run(RESIZE, [mode, *bits], x, size)


def _run(id: int, params: Sequence[int], x: Map, size: Sequence[int | Dim]) -> FeatureMap:
    part = one_slice(x)
    none = ops.constant(np.zeros(0, np.float32), DType.float32, CPU)
    result = TensorType(part.tensor.dtype, [part.tensor.shape[0], *size, part.channels], CPU)
    y = run_kernel(id, params, [part], none, none, result, precision_of(x), POOLS)
    return FeatureMap.of(y)
