"""Decoding the raw head: logits to confidences, distributions to boxes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError
from yolo_max.tasks.contract import Placement


def require_finite(what: str, values: NDArray[np.float32]) -> None:
    """Checks what a network gave.

    Raises:
        EngineError: It is not finite.
    """
    if not np.isfinite(values).all():
        raise EngineError(f"the network gave {what} that are not finite; its weights or engine are broken.")


def boxes_in_image(boxes: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Boxes from canvas pixels to image pixels.

    Raises:
        EngineError: They are not finite there: on a small canvas, an image's pixels are large numbers.
    """
    with np.errstate(over="ignore"):
        moved = placement.to_image(boxes)
    require_finite("boxes", moved)
    return moved


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic function, computed in float64 and rounded once, for the same float32 on every machine."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


@lru_cache
def logit_threshold(conf: float) -> np.float32:
    """The largest float32 logit whose confidence is not above ``conf``, found by bisection.

    ``logit > logit_threshold(conf)`` is equivalent to ``sigmoid(logit) > conf`` in float32, but needs no
    exponential for background cells.

    Args:
        conf: In [0, 1].

    Returns:
        The threshold; +inf if no confidence can exceed ``conf``.
    """
    below, above = -_INFINITY_RANK, _INFINITY_RANK
    highest = np.float32(conf)
    if highest >= 1:
        return np.float32(np.inf)
    while above - below > 1:
        middle = (below + above) // 2
        if sigmoid(_float_of_rank(middle)) > highest:
            above = middle
        else:
            below = middle
    return np.float32(_float_of_rank(below))


_INFINITY_RANK = int(np.float32(np.inf).view(np.uint32))


def _float_of_rank(rank: int) -> NDArray[np.float32]:
    """The float32 of a rank: 0 is 0, 1 the smallest positive number, -1 its negative."""
    magnitude = np.array(abs(rank), np.uint32).view(np.float32)
    return np.copysign(magnitude, np.float32(rank))


@lru_cache
def anchor_points(
    canvas_size: tuple[int, int], strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The centres of the head's cells, level by level, each level row-major.

    Args:
        canvas_size: (height, width) of the network's input, multiples of every stride.
        strides: Canvas pixels per cell, one per level.

    Returns:
        Read-only: float32 [A, 2], (x, y) in units of the level's cells, and float32 [A, 1], the stride.
    """
    points, scales = [], []
    for stride in strides:
        rows, columns = canvas_size[0] // stride, canvas_size[1] // stride
        y, x = np.mgrid[:rows, :columns].astype(np.float32) + np.float32(0.5)
        points.append(np.stack([x.ravel(), y.ravel()], axis=1))
        scales.append(np.full((rows * columns, 1), stride, np.float32))
    cells, stride_of_cell = np.concatenate(points), np.concatenate(scales)
    cells.flags.writeable = stride_of_cell.flags.writeable = False
    return cells, stride_of_cell


def decode_boxes(
    distribution: NDArray[np.float32], points: NDArray[np.float32], stride: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Boxes from DFL logits (https://arxiv.org/abs/2006.04388, then dist2bbox).

    The distance of each side from the anchor point is the mean of a softmax over ``reg_max`` bins. A single
    bin is no distribution, but the distance itself, in cells.

    Args:
        distribution: float32 [N, 4 * reg_max] logits, in the order left, top, right, bottom.
        points: float32 [N, 2] anchor points in cells.
        stride: float32 [N, 1] canvas pixels per cell.

    Returns:
        float32 [N, 4] left, top, right, bottom in canvas pixels, not clipped.
    """
    distance = side_distances(distribution)
    return np.concatenate([points - distance[:, :2], points + distance[:, 2:]], axis=1) * stride


def side_distances(distribution: NDArray[np.float32]) -> NDArray[np.float32]:
    """The distance of each side from the anchor point, float32 [N, 4] in cells; see `decode_boxes`."""
    if distribution.shape[1] == 4:
        return distribution
    logits = distribution.reshape(len(distribution), 4, distribution.shape[1] // 4)
    with np.errstate(invalid="ignore"):  # a broken network gives inf - inf, which is NaN
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    bins = np.arange(logits.shape[2], dtype=np.float32)
    mean: NDArray[np.float32] = (weights * bins).sum(axis=2) / weights.sum(axis=2)
    return mean
