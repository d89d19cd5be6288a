"""Where labels go, so that they hide little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom excluded."""


class Obstacles:
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
        covered = _intersections(np.array(places), self.areas) @ self.weights
        place = places[int(covered.argmin())]
        self.areas[self.next] = place
        self.next += 1
        return place


def _intersections(a: NDArray[np.int_], b: NDArray[np.int_]) -> NDArray[np.int_]:
    """The area of intersection of each rectangle of a [N, 4] with each of b [M, 4], as [N, M]."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    areas: NDArray[np.int_] = sides.clip(0).prod(axis=2)
    return areas
