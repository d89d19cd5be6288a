"""One-to-one matching of two sets of detections of the same image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.detect.detections import Detections

SAME_IOU = 0.99
"""Pairs that overlap at least this much are matched before any other is considered."""
LOOSE_IOU = 0.5
"""Pairs that overlap less are never matched."""
COINCIDE = 0.05
"""Max distance between the sides of boxes without area that coincide, in pixels."""


@dataclass(frozen=True)
class Matching:
    """Which detections of two sets belong together; each is in at most one pair.

    Attributes:
        first: intp [P], indices into the first set, ascending.
        second: intp [P], the partners in the second set.
        iou: float64 [P], IoU of each pair.
        confidence_difference: float64 [P], absolute difference of the confidences of each pair.
        only_first: intp, indices without a partner in the first set, ascending.
        only_second: intp, the same of the second set.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    iou: NDArray[np.float64]
    confidence_difference: NDArray[np.float64]
    only_first: NDArray[np.intp]
    only_second: NDArray[np.intp]


def match(first: Detections, second: Detections, iou: NDArray[np.float64] | None = None) -> Matching:
    """Pairs detections of one class by optimal assignment.

    Near-identical detections (`SAME_IOU`) are paired first, so that no sum of half-good pairs can split them;
    the rest may be paired down to `LOOSE_IOU`, to show what has moved. Each step makes as many pairs as
    possible, with the min total of 1 - IoU + difference of confidence.

    Args:
        first: One set.
        second: The other, of the same image.
        iou: float64 [N, M], how much each of the first overlaps each of the second; by default the `box_iou`.
    """
    iou = box_iou(first.xyxy, second.xyxy) if iou is None else iou.copy()
    iou[first.class_id[:, None] != second.class_id[None, :]] = 0
    confidence = np.abs(first.confidence[:, None].astype(np.float64) - second.confidence[None, :])
    pairs: list[tuple[int, int]] = []
    free_first, free_second = np.arange(len(first)), np.arange(len(second))
    for min_iou in (SAME_IOU, LOOSE_IOU):
        grid = np.ix_(free_first, free_second)
        rows, columns = _assign(1 - iou[grid] + confidence[grid], iou[grid] >= min_iou)
        pairs += zip(free_first[rows].tolist(), free_second[columns].tolist(), strict=True)
        free_first, free_second = np.delete(free_first, rows), np.delete(free_second, columns)
    i, j = np.array(sorted(pairs), np.intp).reshape(-1, 2).T
    return Matching(i, j, iou[i, j], confidence[i, j], free_first, free_second)


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes.

    The IoU of two boxes without area, or whose sides have changed places, is 1 if they coincide (within
    `COINCIDE`), else 0.

    Args:
        a: [N, 4] left, top, right, bottom.
        b: [M, 4].

    Returns:
        float64 [N, M].
    """
    a, b = a.astype(np.float64)[:, None], b.astype(np.float64)[None, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(0).prod(-1)
    areas = ((each[..., 2:] - each[..., :2]).clip(0).prod(-1) for each in (a, b))
    union = sum(areas) - intersection
    coincide = np.abs(a - b).max(-1, initial=0) <= COINCIDE
    iou: NDArray[np.float64] = coincide.astype(np.float64)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def _assign(
    cost: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The assignment with the most allowed pairs, then with the min total cost (each cost in [0, 2])."""
    # Only comparing needs SciPy, so it is imported here.
    from scipy.optimize import linear_sum_assignment

    forbidden = 2.0 * (min(cost.shape) + 1)  # costs more than any assignment of allowed pairs
    rows, columns = linear_sum_assignment(np.where(allowed, cost, forbidden))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]
