"""Annotated images: boxes, labels and lines of text in the color of their class, sized to suit the image.

Boxes are drawn and labels blitted with NumPy slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.output.label_layout import Obstacles, Rectangle
from yolo_max.output.palette import Color, class_color
from yolo_max.output.text_rendering import render
from yolo_max.tasks.marks import LineMark, Marks


def draw(
    image_bgr: NDArray[np.uint8],
    marks: Marks,
    *,
    colors: Sequence[Color] | None = None,
    line_width: int | None = None,
) -> NDArray[np.uint8]:
    """Draws marks on a copy of an image, the most important on top.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        marks: What to draw on it.
        colors: BGR, one per box; those of the classes when absent.
        line_width: In pixels; chosen by the size of the image when absent.

    Returns:
        uint8 [H, W, 3] BGR.
    """
    canvas = np.ascontiguousarray(image_bgr).copy()
    height, width = canvas.shape[:2]
    style = _Style.of(height, width)
    # A line as wide as the image covers it; a wider one would start outside.
    line_width = min(line_width or style.line_width, height, width)

    boxes = [_outline([round(side) for side in mark.xyxy], line_width, height, width) for mark in marks.boxes]
    if colors is None:
        colors = [class_color(mark.class_id) for mark in marks.boxes]
    for box, color in zip(reversed(boxes), reversed(colors), strict=True):
        _draw_box(canvas, box, line_width, color)

    texts = [mark.label for mark in marks.boxes]
    placed: list[tuple[Rectangle, NDArray[np.uint8]]] = []
    obstacles = Obstacles(boxes)
    rendered = render(texts, style.font_size, colors)
    for box, color, mark, label in zip(boxes, colors, marks.boxes, rendered, strict=True):
        if not _fits(label, height, width):
            (label,) = render([mark.short_label], style.font_size, [color])
        if _fits(label, height, width):
            placed.append((obstacles.place(label.shape, box, height, width), label))
    for (left, top, right, bottom), label in reversed(placed):
        canvas[top:bottom, left:right] = label
    _write_lines(canvas, marks.lines, style.font_size)
    return canvas


def _write_lines(canvas: NDArray[np.uint8], lines: Sequence[LineMark], font_size: int) -> None:
    """Writes lines into the upper left corner, as many and as much of each as fit."""
    colors = [class_color(line.class_id) for line in lines]
    gap = max(1, font_size // 6)
    top = gap
    for label in render([line.text for line in lines], font_size, colors):
        if top + len(label) > canvas.shape[0]:
            return
        fitting = label[:, : max(canvas.shape[1] - gap, 0)]
        canvas[top : top + len(label), gap : gap + fitting.shape[1]] = fitting
        top += len(label) + gap


@dataclass(frozen=True)
class _Style:
    line_width: int
    font_size: int

    @classmethod
    def of(cls, height: int, width: int) -> _Style:
        """In proportion to large images; on small ones as thin and small as can still be read."""
        mean, shorter = (height + width) / 2, min(height, width)
        line_width = max(1 + (shorter >= 200), round(0.0025 * mean))
        font_size = max(10, min(13, round(shorter / 20)), round(0.017 * mean))
        return cls(line_width, font_size)


def _outline(xyxy: list[int], line_width: int, height: int, width: int) -> Rectangle:
    """The outer edge of a box's line, which runs along the box and stays inside the image."""
    out = line_width // 2
    left, top = (
        max(min(xyxy[0] - out, width - line_width), 0),
        max(min(xyxy[1] - out, height - line_width), 0),
    )
    right, bottom = min(xyxy[2] + line_width - out, width), min(xyxy[3] + line_width - out, height)
    return left, top, max(right, left + line_width), max(bottom, top + line_width)


def _draw_box(canvas: NDArray[np.uint8], box: Rectangle, line_width: int, color: Color) -> None:
    left, top, right, bottom = box
    # A dark rim sets the line off from a background of its own color.
    rim = max(1, line_width // 4)
    for rows, columns in (
        (slice(max(top - rim, 0), top), slice(max(left - rim, 0), right + rim)),
        (slice(bottom, bottom + rim), slice(max(left - rim, 0), right + rim)),
        (slice(top, bottom), slice(max(left - rim, 0), left)),
        (slice(top, bottom), slice(right, right + rim)),
    ):
        canvas[rows, columns] >>= 1
    canvas[top : top + line_width, left:right] = color
    canvas[bottom - line_width : bottom, left:right] = color
    canvas[top:bottom, left : left + line_width] = color
    canvas[top:bottom, right - line_width : right] = color


def _fits(label: NDArray[np.uint8], height: int, width: int) -> bool:
    return bool(label.shape[0] <= height and label.shape[1] <= width)
