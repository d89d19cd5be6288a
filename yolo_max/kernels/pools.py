"""Pools on the Mojo kernels, for any MAX graph on a CPU.

Maps are NHWC, float32 or bfloat16, plain tensors or views; sums are float32. What a graph needs is said in
``kernels/call.py``.
"""

from __future__ import annotations

from max.graph import Dim

from yolo_max.kernels.call import Map, on_map, view_of
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.kernel_table import POOLS
from yolo_max.kernels.window import Pair, pair

MAX_POOL = 4
"""Its index in ``kernels/table.mojo``."""
AVERAGE_POOL = 0
"""Its index in ``kernels/pools.mojo``."""
INCLUDE_PADDING, EXCLUDE_PADDING = 0, -1
"""Divisors of averages; the numbers are those of ``kernels/pool.mojo``."""
ADAPTIVE = [0, 1, 0, 1] * 2
"""Params of a window that follows from the sizes of the map and of the result."""


def max_pool(
    x: Map,
    k: int | Pair,
    s: int | Pair = 1,
    p: int | Pair | None = None,
    *,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> FeatureMap:
    """Takes the largest pixel under each window, as ``torch.nn.MaxPool2d`` does; NaN if there is one.

    Args:
        x: ``[B, H, W, C]``.
        k: Height and width of the window, or both in one number; so are the others.
        s: Stride.
        p: Padding with minus infinity; by default ``k // 2``.
        dilation: From one pixel under the window to the next.
        ceil_mode: Whether a last window may begin on the map and end behind its padding.

    Returns:
        ``[B, h, w, C]``.
    """
    p = (pair(k)[0] // 2, pair(k)[1] // 2) if p is None else p
    params, size = _window(x, k, s, p, dilation, ceil_mode)
    return on_map(MAX_POOL, [0, *params], x, size)


def adaptive_max_pool(x: Map, size: int | Pair) -> FeatureMap:
    """Takes the largest of ``[B, H, W, C]`` in ``size`` places, as ``torch.nn.AdaptiveMaxPool2d`` does."""
    return on_map(MAX_POOL, [0, *ADAPTIVE], x, pair(size))


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
    params, size = _window(x, k, k if s is None else s, p, 1, ceil_mode)
    return on_map(AVERAGE_POOL, [divisor_override or divisor, *params], x, size, POOLS)


def adaptive_average_pool(x: Map, size: int | Pair) -> FeatureMap:
    """Averages ``[B, H, W, C]`` to ``size``, as ``torch.nn.AdaptiveAvgPool2d`` does; 1 is the average."""
    return on_map(AVERAGE_POOL, [INCLUDE_PADDING, *ADAPTIVE], x, pair(size), POOLS)


def _window(
    x: Map, k: int | Pair, s: int | Pair, p: int | Pair, dilation: int | Pair, ceil_mode: bool
) -> tuple[list[int], tuple[Dim, ...]]:
    """Four params for each axis of a pool, and height and width of its result."""
    axes = list(zip(pair(k), pair(s), pair(p), pair(dilation), strict=True))
    sizes = tuple(
        pool_outputs(size, *axis, ceil_mode) for size, axis in zip(view_of(x).size[1:], axes, strict=True)
    )
    return [number for axis in axes for number in axis], sizes


def pool_outputs(size: Dim, k: int, s: int, p: int, dilation: int, ceil_mode: bool) -> Dim:
    """Outputs of a pool along an axis, as PyTorch has them.

    With ``ceil_mode`` there are ``ceil((size + 2 * p - reach) / s) + 1``, but none that begins in the padding
    behind the map: ``(outputs - 1) * s < size + p``. Which one is smaller does not depend on ``size``.
    """
    reach = dilation * (k - 1) + 1
    if not ceil_mode:
        return (size + 2 * p - reach) // s + 1
    return (size + p - 1 + min(0, s + p - reach)) // s + 1
