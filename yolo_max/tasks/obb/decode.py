"""Decoding rotated boxes: raw angles to radians, distances along a box's own axes to its centre and size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.contract import Placement
from yolo_max.tasks.detect.decode import side_distances, sigmoid

Floats = NDArray[np.floating[Any]]


def decode_angles(raw: NDArray[np.float32], logit: bool) -> NDArray[np.float32]:
    """Raw angles in radians.

    Args:
        raw: float32 [N, 1], as the head gives them.
        logit: Whether they are logits, of an angle from -pi/4 to 3 pi/4; else they are radians already.

    Returns:
        float32 [N, 1].
    """
    return (sigmoid(raw) - np.float32(0.25)) * np.float32(math.pi) if logit else raw


def decode_rotated_boxes(
    distribution: NDArray[np.float32],
    angle: NDArray[np.float32],
    points: NDArray[np.float32],
    stride: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Rotated boxes from DFL logits and angles (Ultralytics' ``dist2rbox``).

    The four distances are measured along the axes of the box, from the anchor point.

    Args:
        distribution: float32 [N, 4 * reg_max] logits, in the order left, top, right, bottom.
        angle: float32 [N, 1] radians, clockwise as displayed.
        points: float32 [N, 2] anchor points in cells.
        stride: float32 [N, 1] canvas pixels per cell.

    Returns:
        float32 [N, 5]: centre x and y, width and height in canvas pixels, and the angle.
    """
    distance = side_distances(distribution)
    near, far = distance[:, :2], distance[:, 2:]
    x, y = np.hsplit((far - near) / 2, 2)
    cos, sin = cos_and_sin(angle)
    centre = np.concatenate([x * cos - y * sin, x * sin + y * cos], axis=1) + points
    return np.concatenate([np.concatenate([centre, near + far], axis=1) * stride, angle], axis=1)


def to_image(xywhr: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Rotated boxes, float32 [N, 5], from canvas pixels to image pixels.

    As in Ultralytics' ``scale_boxes(..., xywh=True)``, nothing is clipped and angles stay as they are.
    """
    left, top, right, bottom = placement.window
    height, width = placement.image_size
    gain = (right - left) / width, (bottom - top) / height
    boxes = xywhr.copy()
    boxes[:, :2] -= np.array([left, top], np.float32)
    boxes[:, :4] /= np.array(gain * 2, np.float32)
    return boxes


def corners(xywhr: Floats) -> Floats:
    """The corners of rotated boxes, in the order of Ultralytics' ``xywhr2xyxyxyxy``.

    Args:
        xywhr: [N, 5].

    Returns:
        [N, 4, 2], of the same dtype: the corner at half the width and height along the box's own axes first,
        then counter-clockwise as displayed.
    """
    cos, sin = cos_and_sin(xywhr[:, 4:])
    centre, width, height = xywhr[:, :2], xywhr[:, 2:3], xywhr[:, 3:4]
    along = np.concatenate([width / 2 * cos, width / 2 * sin], axis=1)
    across = np.concatenate([-height / 2 * sin, height / 2 * cos], axis=1)
    around = (
        centre + along + across,
        centre + along - across,
        centre - along - across,
        centre - along + across,
    )
    return np.stack(around, axis=1)


def cos_and_sin(angle: Floats) -> tuple[Floats, Floats]:
    """Both from float64, rounded once, for the same float32 on every machine; NaN for infinite angles."""
    exact = angle.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.cos(exact).astype(angle.dtype), np.sin(exact).astype(angle.dtype)
