"""Coordinates as OpenCV's drawing takes them: int32, in sixteenths of a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRACTION_BITS = 4
FARTHEST = 2**20
"""What is farther than this many pixels is drawn nearer: int32 would not hold it, and lines would be slow."""


def fixed_point(pixels: ArrayLike) -> NDArray[np.int32]:
    """Coordinates in pixels, of any shape, with `FRACTION_BITS` bits of fraction."""
    near = np.clip(np.asarray(pixels, np.float64), -FARTHEST, FARTHEST)
    fixed: NDArray[np.int32] = np.round(near * 2**FRACTION_BITS).astype(np.int32)
    return fixed
