"""Fast non-maximum suppression of rotated boxes in NumPy, in blocks of candidates.

As in Ultralytics, a box is dropped when any more confident box, kept or not, overlaps it by more than the
threshold (Fast NMS, https://arxiv.org/abs/1904.02689). The matrix of all pairs is never made: each block, in
order of confidence, is compared with what comes before it, until ``max_det`` boxes are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.obb.probiou import Gaussians, overlaps

BLOCK = 256
ROWS = 2048
"""How many boxes a block is compared with at a time: with BLOCK, some 20 MB."""


def fast_nms(
    xywhr: NDArray[np.float32],
    confidence: NDArray[np.float32],
    iou_threshold: float,
    max_det: int | None = None,
) -> NDArray[np.intp]:
    """Selects the boxes that no better box overlaps, by `probiou`.

    Args:
        xywhr: float32 [N, 5] centre, width and height in any unit, angle in radians.
        confidence: float32 [N]; on a tie the earlier box is the better one.
        iou_threshold: In [0, 1]; a similarity of exactly this is allowed.
        max_det: The maximum number of boxes returned; None for no limit.

    Returns:
        Indices of the kept boxes, most confident first.
    """
    order = np.argsort(-confidence, kind="stable")
    boxes = Gaussians.of(xywhr[order])
    limit = len(order) if max_det is None else max_det
    kept = np.empty(0, np.intp)  # positions in `order`
    for start in range(0, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block = boxes[start : start + BLOCK]
        among_themselves = np.triu(overlaps(block, block, iou_threshold), 1).any(axis=0)
        free = np.flatnonzero(~among_themselves)
        for row in range(0, start, ROWS):
            better = boxes[row : min(row + ROWS, start)]
            free = free[~overlaps(better, block[free], iou_threshold).any(axis=0)]
        kept = np.concatenate([kept, start + free])
    return order[kept[:limit]]
