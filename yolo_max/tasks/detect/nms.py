"""Greedy non-maximum suppression in NumPy, a block of candidates at a time.

A box is dropped when a more confident box that was kept overlaps it by more than the IoU threshold.
Candidates are taken in blocks of descending confidence: a block is first held against everything kept so
far, then against itself. Few candidates cost one small matrix; of many, only those needed to find
``max_det`` are looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 256

_TINY = np.finfo(np.float32).tiny


def nms(
    xyxy: NDArray[np.float32],
    confidence: NDArray[np.float32],
    iou_threshold: float,
    max_det: int | None = None,
) -> NDArray[np.intp]:
    """Picks the boxes that no better box overlaps.

    The IoU is computed in float32, operation by operation as ``ultralytics.utils.nms.TorchNMS`` and
    torchvision do, so that the very same boxes survive.

    Args:
        xyxy: float32 [N, 4] left, top, right, bottom, in any one unit.
        confidence: float32 [N]; of equal ones the first in the array counts as the better.
        iou_threshold: In [0, 1]; a box overlapped by exactly this much is kept.
        max_det: At most so many boxes are returned; None for no limit.

    Returns:
        Indices of the kept boxes, most confident first.
    """
    order = np.argsort(-confidence, kind="stable")
    boxes = np.ascontiguousarray(xyxy[order].T)  # a row for each side: arithmetic runs along memory
    threshold = np.float32(iou_threshold)
    limit = len(order) if max_det is None else max_det
    kept = np.empty(0, np.intp)  # positions in `order`
    for start in range(0, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block = np.arange(start, min(start + BLOCK, len(order)))
        if len(kept):
            overlapped = _overlaps(boxes[:, kept], boxes[:, block], threshold).any(axis=0)
            block = block[~overlapped]
        kept = np.concatenate([kept, block[_greedy(boxes[:, block], threshold)]])
    return order[kept[:limit]]


def _greedy(boxes: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """Mask of the boxes [4, N], best first, that survive among themselves."""
    overlaps = _overlaps(boxes, boxes, threshold)
    overlaps.flat[:: len(overlaps) + 1] = False  # a box does not suppress itself
    alive = np.ones(len(overlaps), bool)
    for row in np.flatnonzero(overlaps.any(axis=1)):
        if alive[row]:
            alive[row + 1 :] &= ~overlaps[row, row + 1 :]
    return alive


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """Whether the IoU of a[:, i] and b[:, j] is above the threshold, as [N, M]; never, where it is 0/0."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a[:, :, None], b[:, None, :]
    width = np.minimum(ax2, bx2)
    width -= np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2)
    height -= np.maximum(ay1, by1)
    intersection = np.maximum(width, 0, out=width)
    intersection *= np.maximum(height, 0, out=height)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    union -= intersection
    intersection /= np.maximum(union, _TINY, out=union)
    overlaps: NDArray[np.bool_] = intersection > threshold
    return overlaps
