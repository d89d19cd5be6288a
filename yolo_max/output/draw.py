"""Annotated images: boxes, labels and lines of text in the color of their class, sized to suit the image.

Boxes are drawn and labels blitted with NumPy slices. The text of a label is rendered once, by OpenCV's
built-in font (which has the letters of most languages), and kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.palette import Color, class_color, text_color
from yolo_max.tasks.marks import LineMark, Marks

WEIGHT = 450  # slightly bolder than regular (400), to be legible on color
MOST_LABELS_KEPT = 2048
T = TypeVar("T")

Rectangle = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom excluded."""


def load_font() -> None:
    """Loads the font in the background, so that the first labels need not wait for it."""
    _renderer.submit(_label, "a", 10, (0, 0, 0))


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
    obstacles = _Obstacles(boxes)
    rendered = _labels(texts, style.font_size, colors)
    for box, color, mark, label in zip(boxes, colors, marks.boxes, rendered, strict=True):
        if not _fits(label, height, width):
            (label,) = _labels([mark.short_label], style.font_size, [color])
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
    for label in _labels([line.text for line in lines], font_size, colors):
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


class _Obstacles:
    """What a label should not cover: earlier labels, and boxes small enough to be hidden by it."""

    def __init__(self, boxes: list[Rectangle]) -> None:
        count = len(boxes)
        self.areas = np.zeros((2 * count, 4), int)  # the boxes, then the labels, empty until they are placed
        self.areas[:count] = np.reshape(boxes, (count, 4))
        self.sizes = (self.areas[:count, 2:] - self.areas[:count, :2]).prod(axis=1)
        # Covering another label is worse than covering a small object.
        self.weights = np.full(2 * count, 4)
        self.next = count

    def place(self, shape: tuple[int, ...], box: Rectangle, height: int, width: int) -> Rectangle:
        """The place above, inside or below its box where a label covers the least."""
        label_height, label_width = shape[:2]
        left, top, right, bottom = box
        aligned = min(left, width - label_width), max(right - label_width, 0)
        places = [
            (x, y, x + label_width, y + label_height)
            for x in aligned
            for y in (top - label_height, top, bottom, bottom - label_height)
            if 0 <= y <= height - label_height
        ] or [(aligned[0], 0, aligned[0] + label_width, label_height)]
        self.weights[: len(self.sizes)] = self.sizes < 4 * label_width * label_height
        covered = _common(np.array(places), self.areas) @ self.weights
        place = places[int(covered.argmin())]
        self.areas[self.next] = place
        self.next += 1
        return place


def _common(a: NDArray[np.int_], b: NDArray[np.int_]) -> NDArray[np.int_]:
    """The area of intersection of each rectangle of a [N, 4] with each of b [M, 4], as [N, M]."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    areas: NDArray[np.int_] = sides.clip(0).prod(axis=2)
    return areas


def _fits(label: NDArray[np.uint8], height: int, width: int) -> bool:
    return bool(label.shape[0] <= height and label.shape[1] <= width)


def _labels(texts: Sequence[str], font_size: int, colors: Sequence[Color]) -> list[NDArray[np.uint8]]:
    """Rendered labels, each uint8 [h, w, 3] BGR."""
    keys = [(" ".join(text.split()), font_size, color) for text, color in zip(texts, colors, strict=True)]
    known = {key: _rendered.get(key) for key in keys}
    missing = [key for key, label in known.items() if label is None]
    # One call per image, for new labels only: the thread may have to wait for a CPU.
    fresh = _on_renderer(lambda: {key: _label(*key) for key in missing}) if missing else {}
    if len(_rendered) + len(fresh) > MOST_LABELS_KEPT:
        _rendered.clear()
    _rendered.update(fresh)
    return [fresh[key] if (label := known[key]) is None else label for key in keys]


_rendered: dict[tuple[str, int, Color], NDArray[np.uint8]] = {}


def _on_renderer(function: Callable[[], T]) -> T:
    try:
        future = _renderer.submit(function)
    except RuntimeError:  # the interpreter is shutting down
        return function()
    return future.result()


def _new_renderer() -> ThreadPoolExecutor:
    """The only thread that renders text: OpenCV loads its font once per thread, which takes 20 ms."""
    return ThreadPoolExecutor(1, "yolo-max-text")


def _after_fork() -> None:
    global _renderer
    _renderer = _new_renderer()  # a fork does not copy threads


_renderer = _new_renderer()
os.register_at_fork(after_in_child=_after_fork)


def _label(text: str, font_size: int, color: Color) -> NDArray[np.uint8]:
    height = round(font_size * 1.3)
    margin = round(font_size * 0.3)
    font = cv2.FontFace("sans")
    _, _, text_width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, font_size, WEIGHT)
    mask = np.zeros((height, text_width + 2 * margin), np.uint8)
    cv2.putText(mask, text, (margin, font_size), 255, font, font_size, WEIGHT)
    alpha = mask[:, :, None] / np.float32(255)
    blended = alpha * np.array(text_color(color), np.float32) + (1 - alpha) * np.array(color, np.float32)
    label = np.rint(blended).astype(np.uint8)
    label.flags.writeable = False
    return label
