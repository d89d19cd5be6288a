"""The outline of a mask as one polygon, as in Ultralytics' ``masks2segments``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks import rle
from yolo_max.tasks.rle import Boundaries, Size

PAIRS = 2**20
"""How many distances are computed at once."""

Points = NDArray[np.int64]


def polygon_of(boundaries: Boundaries, size: Size) -> Points:
    """The outline of a mask without its holes; parts are joined at their closest points.

    Args:
        boundaries: The mask.
        size: (height, width) of the mask.

    Returns:
        int64 [K, 2] (x, y) of pixels of the mask; [0, 2] for an empty one.
    """
    mask, top, left = rle.window_of(boundaries, size)
    if not mask.size:
        return np.zeros((0, 2), np.int64)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = [contour.reshape(-1, 2).astype(np.int64) for contour in contours]
    points = parts[0] if len(parts) == 1 else _joined(parts)
    return np.add(points, (left, top), dtype=np.int64)


def _joined(parts: Sequence[Points]) -> Points:
    """One line along all parts: from each to the next on one side, and back on the other."""
    links = [_closest(a, b) for a, b in pairwise(parts)]
    there, back = [_loop(parts[0], links[0][0])], []
    for part, (_, enter), (leave, _) in zip(parts[1:-1], links, links[1:], strict=False):
        if enter > leave:
            part, enter, leave = part[::-1], len(part) - 1 - enter, len(part) - 1 - leave
        loop = _loop(part, enter)
        there.append(loop[: leave - enter + 1])
        back.append(loop[leave - enter :])
    return np.concatenate([*there, _loop(parts[-1], links[-1][1]), *reversed(back)])


def _loop(part: Points, start: int) -> Points:
    """A closed part, from one of its points back to it."""
    return np.concatenate([part[start:], part[: start + 1]])


def _closest(a: Points, b: Points) -> tuple[int, int]:
    """The indices of the closest points of two parts, the first such in the order of ``a``, then of ``b``."""
    best, found = np.inf, (0, 0)
    step = max(1, PAIRS // len(b))
    for start in range(0, len(a), step):
        distance = ((a[start : start + step, None] - b[None]) ** 2).sum(axis=2)
        i, j = divmod(int(distance.argmin()), len(b))
        if distance[i, j] < best:
            best, found = distance[i, j], (start + i, j)
    return found
