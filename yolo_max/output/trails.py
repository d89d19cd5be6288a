"""Trails: the way that a tracked object has come, thin where it was long ago."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.palette import Color
from yolo_max.tasks.marks import TrailMark

FRACTION_BITS = 4


def draw_trail(canvas: NDArray[np.uint8], mark: TrailMark, line_width: int, color: Color) -> None:
    """Draws one trail.

    Args:
        canvas: uint8 [H, W, 3] BGR, changed in place.
        mark: What to draw.
        line_width: Of its latest end, in pixels.
        color: That of the object's box, BGR.
    """
    points = [(round(x * 2**FRACTION_BITS), round(y * 2**FRACTION_BITS)) for x, y in mark.points]
    for i in range(1, len(points)):
        width = max(1, round(line_width * i / len(points)))
        cv2.line(canvas, points[i - 1], points[i], color, width, cv2.LINE_AA, FRACTION_BITS)
