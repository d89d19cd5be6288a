"""Keypoints and the limbs between them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.fixed_point import FRACTION_BITS, fixed_point
from yolo_max.output.palette import Color, class_color
from yolo_max.tasks.marks import SkeletonMark

THICKEST = 1 / 24
"""The thickest limb, as a part of the longer side of what the points cover."""


def draw_skeleton(
    canvas: NDArray[np.uint8], mark: SkeletonMark, line_width: int, color: Color | None = None
) -> None:
    """Draws one skeleton, its points on top of its limbs.

    Args:
        canvas: uint8 [H, W, 3] BGR, changed in place.
        mark: What to draw.
        line_width: Of limbs in pixels; thinner on a figure so small that they would bury it.
        color: BGR, of everything; by default the mark's own colors.
    """
    points = [None if point is None else fixed_point(point).tolist() for point in mark.points]
    width = _thin_enough(mark, line_width)
    for a, b, limb_color in mark.limbs:
        if (start := points[a]) is not None and (end := points[b]) is not None:
            cv2.line(canvas, start, end, color or limb_color, width, cv2.LINE_AA, FRACTION_BITS)
    radius = int(fixed_point(1.75 * width - 0.75))
    for i, point in enumerate(points):
        if point is not None:
            point_color = color or (mark.colors[i] if mark.colors else class_color(i))
            cv2.circle(canvas, point, radius, point_color, cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _thin_enough(mark: SkeletonMark, line_width: int) -> int:
    seen = np.array([point for point in mark.points if point is not None]).reshape(-1, 2)
    if not len(seen):
        return line_width
    return max(1, min(line_width, round(THICKEST * float(np.ptp(seen, axis=0).max()))))
