"""Intersection over union of rotated boxes, exact up to float64, by which engines are compared.

(NMS and the metric have `yolo_max.tasks.obb.probiou` instead, as in Ultralytics.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.detect.matching import COINCIDE, box_iou
from yolo_max.tasks.obb.decode import corners

Floats = NDArray[np.float64]

PAIRS = 2**15
"""How many pairs are computed at a time: some 20 MB."""


def rotated_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Intersection over union of every pair of rotated boxes.

    The IoU of two boxes without area is 1 if their corners coincide (within `COINCIDE`), else 0.

    Args:
        a: [N, 5] centre, width, height, angle.
        b: [M, 5].

    Returns:
        float64 [N, M].
    """
    first, second = a.astype(np.float64), b.astype(np.float64)
    around_a, around_b = corners(first).astype(np.float64), corners(second).astype(np.float64)
    apart = np.abs(around_a[:, None] - around_b[None, :]).max((-1, -2), initial=0)
    area_a, area_b = (np.abs(each[:, 2] * each[:, 3]) for each in (first, second))
    area = area_a[:, None] + area_b[None, :]
    iou: Floats = ((area == 0) & (apart <= COINCIDE)).astype(np.float64)
    # Only where the upright rectangles around them overlap is there anything to compute.
    pairs = np.argwhere((box_iou(_around(around_a), _around(around_b)) > 0) & (area > 0))
    for start in range(0, len(pairs), PAIRS):
        i, j = pairs[start : start + PAIRS].T
        intersection = _intersection(first[i], around_b[j])
        iou[i, j] = (intersection / (area[i, j] - intersection)).clip(0, 1)
    return iou


def _around(points: Floats) -> Floats:
    return np.hstack([points.min(axis=1), points.max(axis=1)])


def _intersection(boxes: Floats, around: Floats) -> Floats:
    """The areas, [P], that rotated boxes [P, 5] share with the ones of these corners [P, 4, 2].

    By Green's theorem: on the axes of the first box, which is then |x| <= X and |y| <= Y, the area is the
    integral along the other one's sides of x, clamped to X, over y, as far as |y| <= Y.
    """
    cos, sin = np.cos(boxes[:, 4:]), np.sin(boxes[:, 4:])
    right, down = np.moveaxis(around - boxes[:, None, :2], -1, 0)
    x0, y0 = right * cos + down * sin, down * cos - right * sin
    x1, y1 = np.roll(x0, -1, axis=1), np.roll(y0, -1, axis=1)
    half_width, half_height = np.abs(boxes[:, 2:3]) / 2, np.abs(boxes[:, 3:4]) / 2
    start, end = (np.clip(y, -half_height, half_height) for y in (y0, y1))
    rise = np.where(y1 == y0, 1, y1 - y0)  # a level side contributes nothing
    x_start, x_end = (x0 + (y - y0) / rise * (x1 - x0) for y in (start, end))
    areas: Floats = np.abs((_mean_clamped(x_start, x_end, half_width) * (end - start)).sum(axis=1))
    return areas


def _mean_clamped(start: Floats, end: Floats, limit: Floats) -> Floats:
    """The mean of x, clamped to +-limit, while x goes evenly from start to end."""

    def integral(x: Floats) -> Floats:
        clamped = np.clip(x, -limit, limit)
        return clamped * x - clamped * clamped / 2

    span = end - start
    steady = np.abs(span) <= 1e-7 * limit
    mean = np.clip((start + end) / 2, -limit, limit)
    np.divide(integral(end) - integral(start), span, out=mean, where=~steady)
    return mean
