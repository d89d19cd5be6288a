"""Things in the scenes that are no objects: each function draws one into a mask of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from shapes.canvas import Canvas
from shapes.outlines import Mask, Points, Window, fill_mask, pose, rotation
from shapes.textures import flat, random_color


@dataclass(frozen=True)
class _Spot:
    """Where a piece of clutter starts, its lines' thickness, and the lengths to measure it by, in pixels."""

    start: Points
    thickness: int
    side: int
    unit: float


def _stroke(mask: Mask, points: Points, thickness: int) -> None:
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, shift=4)


def _wire(rng: Generator, mask: Mask, spot: _Spot) -> None:
    end = spot.start + rng.normal(0, 0.5 * spot.side, 2)
    middle = (spot.start + end) / 2 + rng.normal(0, 0.12 * spot.side, 2)
    t = np.linspace(0, 1, 24)[:, None]
    _stroke(mask, (1 - t) ** 2 * spot.start + 2 * t * (1 - t) * middle + t**2 * end, spot.thickness)


def _arc(rng: Generator, mask: Mask, spot: _Spot) -> None:
    centre, axes = (tuple(map(int, pair)) for pair in (spot.start, rng.uniform(0.03, 0.25, 2) * spot.side))
    first, turn = rng.uniform(0, 360), rng.uniform(40, 150)  # too short to pass for a ring
    angle = rng.uniform(0, 180)
    cv2.ellipse(mask, centre, axes, angle, first, first + turn, 255, spot.thickness, cv2.LINE_AA)


def _zigzag(rng: Generator, mask: Mask, spot: _Spot) -> None:
    steps = np.stack([np.arange(7), np.arange(7) % 2 * rng.uniform(0.6, 2)], axis=1) * spot.side * 0.03
    _stroke(mask, spot.start + steps @ rotation(rng.uniform(0, 2 * math.pi)), spot.thickness)


def _bar(rng: Generator, mask: Mask, spot: _Spot) -> None:
    breadth = spot.side * rng.uniform(0.01, 0.03)
    length = rng.uniform(4, 9)  # of its breadth: too long for a square
    outline = [np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)]) * (length, 1)]
    mask |= fill_mask(pose(rng, outline, breadth, spot.start), _everything(mask))


def _blob(rng: Generator, mask: Mask, spot: _Spot) -> None:
    lobes, angles = rng.integers(2, 4), np.linspace(0, 2 * math.pi, 60, endpoint=False)
    reach = 1 + rng.uniform(0.4, 0.6) * np.sin(lobes * angles) + 0.25 * np.sin((lobes + 1) * angles + 1)
    outline = [np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)]
    radius = spot.side * rng.uniform(0.015, 0.06)
    mask |= fill_mask(pose(rng, outline, radius, spot.start), _everything(mask))


def _letters(rng: Generator, mask: Mask, spot: _Spot) -> None:
    text = "".join(rng.choice(list("ABEFHKMNRSUVWZ2357"), rng.integers(1, 5)))  # none like a ring or a cross
    x, y = map(int, spot.start)
    scale = spot.unit * rng.uniform(0.4, 1.4)
    cv2.putText(mask, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, spot.thickness, cv2.LINE_AA)


CLUTTER = (_wire, _arc, _zigzag, _bar, _blob, _letters)


def _everything(mask: Mask) -> Window:
    return slice(0, mask.shape[0]), slice(0, mask.shape[1])


def draw_clutter(rng: Generator, canvas: Canvas, count: int, thickest: float) -> None:
    """Draw `count` pieces of clutter; what they cover belongs to no shape any more."""
    height, width = canvas.owner.shape
    for _ in range(count):
        start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        thickness = max(1, round(canvas.unit * rng.uniform(0.8, thickest)))
        mask = np.zeros((height, width), np.uint8)
        CLUTTER[rng.integers(len(CLUTTER))](
            rng, mask, _Spot(start, thickness, max(height, width), canvas.unit)
        )
        color = random_color(rng, (0.0, 0.8), (0.1, 1.0))
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:  # it fell outside the image
            continue
        window = (slice(y, y + h), slice(x, x + w))
        canvas.blend(window, mask[window], flat(h, w, color), opacity=rng.uniform(0.5, 1.0))
        canvas.owner[window][mask[window] >= 128] = 0
