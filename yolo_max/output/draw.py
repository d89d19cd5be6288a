"""Annotated images: masks, boxes, skeletons, labels and lines of text in the color of their class.

All are sized to suit the image. Boxes are drawn and labels blitted with NumPy slices.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.label_layout import Obstacles, Rectangle, leader
from yolo_max.output.mask_fill import fill_mask
from yolo_max.output.palette import Color, class_color
from yolo_max.output.rotated_box import draw_rotated_box, label_start
from yolo_max.output.skeletons import draw_skeleton
from yolo_max.output.text_rendering import LARGEST, render
from yolo_max.output.trails import draw_trail
from yolo_max.support.options import DrawOptions
from yolo_max.tasks.marks import Marks

AUTOMATIC = DrawOptions()
MIN_FONT_SIZE, MAX_FONT_SIZE = 10, 60  # unless asked for
CHARACTER_AREA = 1.3 * 0.6
"""What a character takes of a label, about, in squares of the font size."""
LINE_PER_SIDE, FONT_PER_SIDE = 1 / 16, 0.4
"""Of a box's side, at most; objects are small in pictures that are predicted tile by tile."""
MOST_COVERED = 0.15
"""The part of an image that its labels may cover without a smaller font."""


def draw(
    image_bgr: NDArray[np.uint8],
    marks: Marks,
    options: DrawOptions = AUTOMATIC,
    *,
    colors: Sequence[Color] | None = None,
    in_place: bool = False,
) -> NDArray[np.uint8]:
    """Draws marks on a copy of an image, the most important on top.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        marks: What to draw on it.
        options: How.
        colors: BGR, one per box with its skeleton, then one per line; by default those of the classes, and of
            skeletons their own.
        in_place: Whether the image itself may be drawn on, which nobody else needs then.

    Returns:
        uint8 [H, W, 3] BGR.
    """
    canvas = np.ascontiguousarray(image_bgr)
    canvas = canvas if in_place and canvas.flags.writeable else canvas.copy()
    height, width = canvas.shape[:2]
    texts = [mark.label if options.show_conf else mark.short_label for mark in marks.boxes]
    style = _Style.of(height, width, sum(map(len, texts)) + len(texts), _usual_side(marks)).changed(options)
    # A line as wide as the image covers it; a wider one would start outside.
    line_width = min(style.line_width, height, width)

    boxes = [_outline([round(side) for side in mark.xyxy], line_width, height, width) for mark in marks.boxes]
    recolored = colors is not None
    if colors is None:
        colors = [class_color(number) for number in _numbers(marks, options.color_mode)]
    colors, line_colors = colors[: len(boxes)], colors[len(boxes) :]
    for mask, color in zip(reversed(marks.masks), reversed(colors), strict=False):  # or there are none
        fill_mask(canvas, mask, max(1.5, 0.6 * line_width), color)
    for trail in marks.trails:
        number = trail.class_id if options.color_mode == "class" else trail.track_id
        draw_trail(canvas, trail, line_width, class_color(number))
    for mark, box, color in reversed(list(zip(marks.boxes, boxes, colors, strict=True))):
        if not options.show_boxes:
            break
        if mark.corners:
            draw_rotated_box(canvas, mark.corners, line_width, color)
        else:
            _draw_box(canvas, box, line_width, color)
    for i in reversed(range(len(marks.skeletons))):
        draw_skeleton(canvas, marks.skeletons[i], line_width, colors[i] if recolored else None)

    if not options.show_labels:
        return canvas
    lines = [line.text if options.show_conf else line.short_text for line in marks.lines]
    if options.show_boxes:
        _write_labels(canvas, marks, boxes, texts, colors, style.font_size, line_width)
    _write_lines(canvas, render(lines, style.font_size, line_colors), max(1, style.font_size // 6))
    return canvas


def _numbers(marks: Marks, color_mode: str) -> list[int]:
    """What chooses the color of each box, then of each line: its class, or its track or place."""
    of_lines = [line.class_id for line in marks.lines]
    if color_mode == "class":
        return [*(box.class_id for box in marks.boxes), *of_lines]
    return [*(i if box.track_id is None else box.track_id for i, box in enumerate(marks.boxes)), *of_lines]


def _write_labels(
    canvas: NDArray[np.uint8],
    marks: Marks,
    boxes: list[Rectangle],
    texts: Sequence[str],
    colors: Sequence[Color],
    font_size: int,
    line_width: int,
) -> None:
    """Writes the label of each box, as far as there is room."""
    height, width = canvas.shape[:2]
    placed: list[tuple[Rectangle, NDArray[np.uint8]]] = []
    obstacles = Obstacles(boxes)
    rendered = render(texts, font_size, colors)
    room = height * width // 3  # the rest is left to the picture
    for box, color, mark, label in zip(boxes, colors, marks.boxes, rendered, strict=True):
        if not _fits(label, height, width):
            (label,) = render([mark.short_label], font_size, [color])
        if _fits(label, height, width) and (label[..., 0].size <= room or not placed):
            room -= label[..., 0].size
            start = label_start(mark.corners, line_width, height, width) if mark.corners else box
            placed.append((obstacles.place(label.shape, start, height, width), label))
            if line := leader(placed[-1][0], start):
                cv2.line(canvas, *line, color, max(1, line_width // 2), cv2.LINE_AA)
    for (left, top, right, bottom), label in reversed(placed):
        canvas[top:bottom, left:right] = label


def _write_lines(canvas: NDArray[np.uint8], lines: Sequence[NDArray[np.uint8]], gap: int) -> None:
    """Writes rendered lines into the upper left corner, as far as they fit."""
    top = gap
    for label in lines:
        if top + len(label) > canvas.shape[0]:
            return
        fitting = label[:, : max(canvas.shape[1] - gap, 0)]
        canvas[top : top + len(label), gap : gap + fitting.shape[1]] = fitting
        top += len(label) + gap


def _usual_side(marks: Marks) -> float:
    """The median side of the boxes, in pixels; infinite without any."""
    corners = [mark.xyxy for mark in marks.boxes]
    sides = [math.sqrt(max(right - left, 0) * max(bottom - top, 0)) for left, top, right, bottom in corners]
    return statistics.median(sides) if sides else math.inf


@dataclass(frozen=True)
class _Style:
    line_width: int
    font_size: int

    @classmethod
    def of(cls, height: int, width: int, characters: int = 0, side: float = math.inf) -> _Style:
        """In proportion to large images; on small ones, and for small objects, as small as can still be read.

        Args:
            height: Of the image in pixels.
            width: Likewise.
            characters: Of all labels together; many make the font smaller.
            side: The usual one of a box in pixels.
        """
        shorter = min(height, width)
        mean = min((height + width) / 2, 2 * shorter)  # a long strip is as small as it is narrow
        line_width = max(1 + (shorter >= 200), round(min(0.0025 * mean, LINE_PER_SIDE * side)))
        font_size = max(MIN_FONT_SIZE, min(13, round(shorter / 20)), min(round(0.017 * mean), MAX_FONT_SIZE))
        font_size = int(min(font_size, max(MIN_FONT_SIZE, FONT_PER_SIDE * side)))
        without_burying = math.sqrt(MOST_COVERED * height * width / max(characters * CHARACTER_AREA, 1))
        return cls(line_width, max(MIN_FONT_SIZE, min(font_size, int(without_burying))))

    def changed(self, options: DrawOptions) -> _Style:
        """The style as asked for; a line width without a font size scales the font."""
        line_width = options.line_width or self.line_width
        scaled = max(MIN_FONT_SIZE, round(self.font_size * line_width / self.line_width))
        return _Style(line_width, min(options.font_size or scaled, LARGEST))


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
