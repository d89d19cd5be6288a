"""Rotated boxes: their lines, and where their labels begin."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.fixed_point import FRACTION_BITS, fixed_point
from yolo_max.output.label_layout import Rectangle
from yolo_max.output.palette import Color

Corners = Sequence[tuple[float, float]]
"""The four corners (x, y) in pixels, in order."""

SMOOTHING = 1.4
"""By how many pixels its smooth edges widen a filled polygon."""
LEVEL = 0.25
"""How much higher, per pixel to the right, a corner must lie for the label to begin there."""


def draw_rotated_box(canvas: NDArray[np.uint8], corners: Corners, line_width: int, color: Color) -> None:
    """Draws the four sides, on a dark rim that sets them off from a background of their own color."""
    rim = max(1, line_width // 4)
    around = fixed_point(corners) / 2**FRACTION_BITS  # none too far off
    dark = [value // 3 for value in color]
    for width, shade in ((line_width + 2 * rim, dark), (line_width, color)):
        for start, end in zip(around, np.roll(around, -1, axis=0), strict=True):
            _draw_side(canvas, start, end, width, shade)


def _draw_side(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    width: int,
    color: Sequence[int],
) -> None:
    """Draws a line with square ends, as wide as it is told; OpenCV's are 1.4 to 2.6 pixels wider."""
    if width == 1:
        first, last = fixed_point([start, end]).tolist()
        cv2.line(canvas, first, last, color, 1, cv2.LINE_AA, FRACTION_BITS)
        return
    length = np.hypot(*(end - start))
    along = (end - start) / length if length else np.array([1.0, 0.0])
    along = along * (width - SMOOTHING) / 2
    across = along[::-1] * (-1, 1)
    outline = np.array([start - along, end + along, end + along, start - along])
    outline += np.array([-across, -across, across, across])
    cv2.fillConvexPoly(canvas, fixed_point(outline), color, cv2.LINE_AA, FRACTION_BITS)


def label_start(corners: Corners, line_width: int, height: int, width: int) -> Rectangle:
    """The corner that the label stands beside, as a small rectangle in the image: the highest that shows.

    Of corners about as high it is the leftmost. A box all of whose corners are outside gets the nearest pixel
    to its centre.
    """
    showing = [(x, y) for x, y in corners if 0 <= x <= width and 0 <= y <= height]
    x, y = min(showing, key=lambda corner: corner[1] + LEVEL * corner[0], default=np.mean(corners, axis=0))
    left = int(np.clip(x - line_width / 2, 0, max(width - line_width, 0)))
    top = int(np.clip(y - line_width / 2, 0, max(height - line_width, 0)))
    return left, top, min(left + line_width, width), min(top + line_width, height)
