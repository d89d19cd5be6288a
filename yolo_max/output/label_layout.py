"""Where labels go, so that they hide little."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom excluded."""

Point = tuple[int, int]
"""(x, y) in pixels."""

LABEL_WEIGHT = 4
"""How much worse it is to hide another label than a small object."""
MOST_HIDDEN = 1 / 3
"""A label that hides more than this, as a part of its own area and weighted, moves away from its box."""
GAP = 1
"""Pixels that are kept free around a label, if there is room: two that touch read as one."""
REACH = 4
"""How far it moves at most, in its own heights."""


class Obstacles:
    """What a label should not cover: earlier labels, and boxes small enough to be hidden by it."""

    def __init__(self, boxes: list[Rectangle]) -> None:
        count = len(boxes)
        self.areas = np.zeros((2 * count, 4), int)  # the boxes, then the labels, empty until they are placed
        self.areas[:count] = np.reshape(boxes, (count, 4))
        self.sizes = (self.areas[:count, 2:] - self.areas[:count, :2]).prod(axis=1)
        self.weights = np.full(2 * count, LABEL_WEIGHT)
        self.next = count

    def place(self, shape: tuple[int, ...], box: Rectangle, height: int, width: int) -> Rectangle:
        """The place above, inside or below its box where a label covers the least.

        A label that would hide too much there moves away; `leader` is its way back to the box.
        """
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
        place, hidden = self._best(places)
        if hidden > MOST_HIDDEN * label_height * label_width:
            further = _around(box, label_height, label_width, height, width)
            moved, still_hidden = self._best([place, *self._past_labels(place, height), *further])
            if still_hidden < hidden / 2:
                place = moved
        left, top, right, bottom = place
        self.areas[self.next] = (left - GAP, top - GAP, right + GAP, bottom + GAP)
        self.next += 1
        return place

    def _past_labels(self, place: Rectangle, height: int) -> Iterator[Rectangle]:
        """The places right above and below the labels that a place would cover."""
        left, top, right, bottom = place
        labels = self.areas[len(self.sizes) : self.next]
        for area in labels[_intersections(np.array([place]), labels)[0] > 0].tolist():
            for y in (area[1] - (bottom - top), area[3]):
                if 0 <= y <= height - (bottom - top):
                    yield left, y, right, y + bottom - top

    def _best(self, places: list[Rectangle]) -> tuple[Rectangle, int]:
        """The first of the places that cover the least, and the weighted area that it covers."""
        covered = _intersections(np.array(places), self.areas) @ self.weights
        best = covered.argmin()
        return places[best], covered[best]


def leader(label: Rectangle, box: Rectangle) -> tuple[Point, Point] | None:
    """The shortest line from a label to its box; None where they touch."""
    if label[0] <= box[2] and box[0] <= label[2] and label[1] <= box[3] and box[1] <= label[3]:
        return None
    (x, box_x), (y, box_y) = (_nearest(label[i], label[i + 2], box[i], box[i + 2]) for i in (0, 1))
    return (x, y), (box_x, box_y)


def _nearest(start: int, end: int, other_start: int, other_end: int) -> tuple[int, int]:
    """The nearest points of two intervals; in the middle of what they share."""
    low, high = max(start, other_start), min(end, other_end)
    if low <= high:
        return (low + high) // 2, (low + high) // 2
    return (end, other_start) if end < other_start else (start, other_end)


def _around(
    box: Rectangle, label_height: int, label_width: int, height: int, width: int
) -> Iterator[Rectangle]:
    """Places for a label around a box, the nearest first."""
    left, top, right, bottom = box
    for step in range(1, REACH + 1):
        gap = step * label_height
        for x, y in (
            *((x, y) for x in (left, right - label_width) for y in (top - gap - label_height, bottom + gap)),
            *((x, y) for x in (right + gap, left - gap - label_width) for y in (top - gap, top, bottom)),
        ):
            if 0 <= x <= width - label_width and 0 <= y <= height - label_height:
                yield x, y, x + label_width, y + label_height


def _intersections(a: NDArray[np.int_], b: NDArray[np.int_]) -> NDArray[np.int_]:
    """The area of intersection of each rectangle of a [N, 4] with each of b [M, 4], as [N, M]."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    sides = np.maximum(sides, 0)
    areas: NDArray[np.int_] = sides[..., 0] * sides[..., 1]
    return areas
