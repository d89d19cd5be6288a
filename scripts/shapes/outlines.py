"""Outlines of the shapes: closed polygons of radius 1 around the origin; a second one is a hole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Points = NDArray[np.float64]
Window = tuple[slice, slice]  # rows and columns of the image


def _regular(corners: int, radius: float = 1.0) -> Points:
    angles = np.arange(corners) * (2 * math.pi / corners)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _circle(_rng: Generator) -> list[Points]:
    return [_regular(72)]


def _ring(rng: Generator) -> list[Points]:
    return [_regular(72), _regular(72, rng.uniform(0.42, 0.68))]


def _triangle(_rng: Generator) -> list[Points]:
    return [_regular(3)]


def _square(_rng: Generator) -> list[Points]:
    return [_regular(4)]


def _star(rng: Generator) -> list[Points]:
    points = _regular(10)
    points[1::2] *= rng.uniform(0.38, 0.52)
    return [points]


def _cross(rng: Generator) -> list[Points]:
    half = rng.uniform(0.24, 0.36)
    arm = np.array([(1.0, -half), (1.0, half), (half, half)])
    quarter_turn = np.array([(0.0, 1.0), (-1.0, 0.0)])  # row vectors: (x, y) -> (-y, x)
    return [np.concatenate([arm @ np.linalg.matrix_power(quarter_turn, turn) for turn in range(4)])]


OUTLINES: dict[str, Callable[[Generator], list[Points]]] = {
    "circle": _circle,
    "ring": _ring,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "cross": _cross,
}


def rotation(angle: float) -> Points:
    """The matrix that turns row vectors by `angle`."""
    return np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])


def rectangle(outline: Sequence[Points]) -> Points:
    """The corners of the upright rectangle around an outline, clockwise (as y points down)."""
    points = np.concatenate(list(outline))
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])


def pose(
    rng: Generator,
    outline: Sequence[Points],
    radius: float,
    centre: Points,
    squeeze: tuple[float, float] = (0.88, 1.0),
) -> list[Points]:
    """Squeeze an outline, turn it, and move it to where it goes in the image.

    Args:
        rng: Draws the angle and the squeeze.
        outline: Polygons of radius 1 around the origin.
        radius: In pixels.
        centre: x y in pixels.
        squeeze: The range of breadths, as shares of the outline's own.
    """
    turn = rotation(rng.uniform(0, 2 * math.pi))
    breadth = np.array([rng.uniform(*squeeze), 1.0])
    return [(points * breadth * radius) @ turn + centre for points in outline]


def bounds(outline: Sequence[Points], margin: float) -> Window:
    """The window around an outline, wherever that is: it may reach out of the image."""
    points = np.concatenate(list(outline))
    x1, y1 = np.floor(points.min(axis=0) - margin).astype(int).tolist()
    x2, y2 = np.ceil(points.max(axis=0) + margin).astype(int).tolist()
    return slice(y1, y2), slice(x1, x2)


def fill_mask(outline: Sequence[Points], window: Window) -> Mask:
    """Antialiased coverage (0..255) of a window's pixels by an outline."""
    rows, columns = window
    # Drawn whole, then cut: OpenCV bends antialiased edges where they leave the picture.
    whole_rows, whole_columns = bounds(outline, margin=2)
    top, left = min(rows.start, whole_rows.start), min(columns.start, whole_columns.start)
    bottom, right = max(rows.stop, whole_rows.stop), max(columns.stop, whole_columns.stop)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    # Pixel centres are at .5 here, and whole in OpenCV; 4 fractional bits place an edge to 1/16 pixel.
    contours = [np.round((points - (left + 0.5, top + 0.5)) * 16).astype(np.int32) for points in outline]
    cv2.fillPoly(mask, contours, 255, cv2.LINE_AA, shift=4)
    return mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
