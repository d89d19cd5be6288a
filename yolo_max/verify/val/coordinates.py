"""Coordinates as COCO's annotations have them, before anything computes with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FARTHEST = 2**22
"""Farther than this many pixels from its image's first one, nothing is drawn or measured."""


def coordinates(numbers: Any) -> NDArray[np.float64]:
    """Numbers as float64 of the same shape.

    Raises:
        ValueError, TypeError, OverflowError: They are not numbers, not finite, or farther than `FARTHEST`.
    """
    found = np.array(numbers, np.float64)
    if not (np.abs(found) <= FARTHEST).all():  # false for NaN
        raise ValueError(f"a coordinate is not within {FARTHEST:,} pixels")
    return found


def polygon(numbers: Any) -> NDArray[np.float64]:
    """The points of a polygon, float64 [K, 2], from its numbers x1, y1, x2, y2, ...

    Raises:
        ValueError, TypeError, OverflowError: It has fewer than three points, or an outline of more than
            `FARTHEST` pixels: COCO's evaluator keeps every pixel of it. Or as `coordinates`.
    """
    points = coordinates(numbers).reshape(-1, 2)
    if len(points) < 3:
        raise ValueError(f"a polygon has {len(points)} points")
    if np.abs(points - np.roll(points, 1, axis=0)).sum() > FARTHEST:
        raise ValueError(f"a polygon has an outline of more than {FARTHEST:,} pixels")
    return points
