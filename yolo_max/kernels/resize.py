"""Resizing on the Mojo kernels, for any MAX graph on a CPU.

Maps are NHWC, float32 or bfloat16, plain tensors or views. What a graph needs is said in ``kernels/call.py``.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from max.graph import Dim

from yolo_max.kernels.call import Map, on_map
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.kernel_table import POOLS

RESIZE = 1
"""Its index in ``kernels/pools.mojo``."""


class Resize(IntEnum):
    """How an output finds its pixels; the numbers are those of ``kernels/resize.mojo``."""

    NEAREST = 0
    NEAREST_EXACT = 1
    BILINEAR = 2
    BILINEAR_ALIGNED = 3


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
    return on_map(RESIZE, [mode, *bits], x, size, POOLS)
