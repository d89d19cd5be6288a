"""Greedy non-maximum suppression in NumPy, in blocks of candidates.

A box is dropped when a more confident box that was kept overlaps it by more than the IoU threshold.
Each block, in order of confidence, is compared with the boxes kept so far, then with itself. Few candidates
cost one small matrix; with many, the loop stops once ``max_det`` boxes are kept.
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
    """Selects the boxes that no better box overlaps.

    The IoU is computed in float32, in the same operations as in ``ultralytics.utils.nms.TorchNMS`` and
    torchvision, so the same boxes are kept.

    Args:
        xyxy: float32 [N, 4] left, top, right, bottom, in any unit.
        confidence: float32 [N]; on a tie the earlier box is the better one.
        iou_threshold: In [0, 1]; an IoU of exactly this is allowed.
        max_det: The maximum number of boxes returned; None for no limit.

    Returns:
        Indices of the kept boxes, most confident first.
    """
    order = np.argsort(-confidence, kind="stable")
    boxes = np.ascontiguousarray(xyxy[order].T)  # one contiguous row per side
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
    """A mask of the boxes [4, N], best first, that are kept among themselves."""
    overlaps = _overlaps(boxes, boxes, threshold)
    overlaps.flat[:: len(overlaps) + 1] = False  # a box does not suppress itself
    alive = np.ones(len(overlaps), bool)
    for row in np.flatnonzero(overlaps.any(axis=1)):
        if alive[row]:
            alive[row + 1 :] &= ~overlaps[row, row + 1 :]
    return alive


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """Whether the IoU of a[:, i] and b[:, j] exceeds the threshold, as [N, M]; 0/0 does not."""
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
