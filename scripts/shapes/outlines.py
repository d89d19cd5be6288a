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


def pose(rng: Generator, outline: Sequence[Points], radius: float, centre: Points) -> list[Points]:
    """Squeeze an outline a little, turn it, and move it to where it goes in the image."""
    turn = rotation(rng.uniform(0, 2 * math.pi))
    squeeze = np.array([rng.uniform(0.88, 1.0), 1.0])
    return [(points * squeeze * radius) @ turn + centre for points in outline]


def area(outline: Sequence[Points]) -> float:
    """Area in pixels by the shoelace formula, holes subtracted."""
    areas = []
    for points in outline:
        x, y = points.T
        areas.append(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2)
    return areas[0] - sum(areas[1:])


def fill_mask(outline: Sequence[Points], window: Window) -> Mask:
    """Antialiased coverage (0..255) of a window's pixels by an outline."""
    rows, columns = window
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    # Pixel centres are at .5 here, and whole in OpenCV; 4 fractional bits place an edge to 1/16 pixel.
    origin = np.array([columns.start, rows.start]) + 0.5
    contours = [np.round((points - origin) * 16).astype(np.int32) for points in outline]
    cv2.fillPoly(mask, contours, 255, cv2.LINE_AA, shift=4)
    return mask
