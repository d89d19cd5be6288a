"""Tolerant fast NMS of rotated boxes; see `yolo_max.tasks.detect.tolerant_nms`.

In fast NMS any better candidate suppresses, also one that is itself suppressed. So a candidate surely goes if
one that surely exists surely overlaps it, and surely stays if none that may exist may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.contract import Placement
from yolo_max.tasks.detect.decode import anchor_points
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.tolerant_nms import MARGIN, Candidates, TolerantNms
from yolo_max.tasks.obb.decode import decode_angles, decode_rotated_boxes, to_image
from yolo_max.tasks.obb.overlap import rotated_iou
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.tasks.obb.probiou import EPS
from yolo_max.tasks.obb.rotated_detections import RotatedDetections

Floats = NDArray[np.float64]

BLOCK = 256
"""How many candidates are compared with all others at a time."""
ROUNDED = 16 * float(np.finfo(np.float32).eps)
"""What a determinant's terms may have lost, in parts of themselves, when computed in float32."""


@dataclass(frozen=True)
class RotatedTolerantNms(TolerantNms):
    """The candidates of one image and their outcomes; ``boxes`` are float32 [N, 5], not clipped."""

    @classmethod
    def of_outputs(
        cls,
        outputs: Mapping[str, NDArray[Any]],
        placement: Placement,
        postprocess: RotatedPostprocess,
        margin: float = MARGIN,
    ) -> RotatedTolerantNms:
        """Works out the outcomes for one image.

        Args:
            outputs: The reference's whole raw outputs.
            placement: Where the image lies in the canvas that the network saw.
            postprocess: The options of thresholding and NMS.
            margin: How close to a threshold a score or a similarity may lie, or two scores to each other.
        """
        head, options = outputs["head"], postprocess
        found = Candidates.of(head, options, margin)
        points, stride = anchor_points(placement.canvas_size, options.strides)
        angle = decode_angles(outputs["angle"][found.cell], options.angle_logit)
        distribution = head[found.cell, : options.box_channels]
        boxes = decode_rotated_boxes(distribution, angle, points[found.cell], stride[found.cell])

        def suppress(members: NDArray[np.intp], shift: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
            score, sure, each = found.score[members].astype(np.float64), found.sure[members], boxes[members]
            must, may = sure.copy(), np.ones(len(members), bool)
            for start in range(0, len(members), BLOCK):
                rows = slice(start, start + BLOCK)
                low, high = similarity_bounds(each[rows], each, shift)
                ahead = score[rows, None] - score[None, :]
                surely_drops = (low > options.iou + margin) & (ahead > margin)
                may_drop = (high > options.iou - margin) & (ahead > -margin)
                np.fill_diagonal(may_drop[:, start:], False)  # a box does not suppress itself
                must &= ~may_drop.any(axis=0)
                may &= ~surely_drops[sure[rows]].any(axis=0)
            return must, may

        must, may = found.outcomes(options, len(head), margin, suppress)
        return cls(to_image(boxes, placement), found.score, found.class_id, must, may)

    @staticmethod
    def boxes_of(detections: Detections) -> NDArray[np.float32]:
        """The rotated boxes."""
        assert isinstance(detections, RotatedDetections)
        return detections.xywhr

    @staticmethod
    def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> Floats:
        """Their exact IoU."""
        return rotated_iou(first, second)


def similarity_bounds(
    first: NDArray[np.float32], second: NDArray[np.float32], shift: float
) -> tuple[Floats, Floats]:
    """The least and the greatest `probiou` of each pair that float32 may come to.

    Written from the definition: with covariances S and T of two boxes and d between their centres, their
    Bhattacharyya distance is d' (S + T)^-1 d / 4 + ln(det(S + T) / (4 sqrt(det S det T))) / 2. Of long, thin
    boxes the determinants are small differences of large products, of which float32 keeps little; for tiny
    boxes `EPS` is what counts.

    Args:
        first: float32 [N, 5].
        second: float32 [M, 5].
        shift: How far the centres are moved, in pixels, before float32 rounds them.

    Returns:
        float64 [N, M] twice.
    """
    reach = max(np.abs(each[:, :2]).max(initial=1) for each in (first, second))
    moved = float(np.spacing(np.float32(shift + reach)))
    (s, one, one_lost), (t, other, other_lost) = map(_covariance, (first, second))
    total = s[:, None] + t[None, :]
    both = total[..., 0, 0] * total[..., 1, 1] - total[..., 0, 1] ** 2
    d = first[:, None, :2].astype(np.float64) - second[None, :, :2]
    spread = total[..., 0, 0] + total[..., 1, 1]
    product = one[:, None] * other[None, :]
    with np.errstate(all="ignore"):  # boxes without area
        # (S + T)^-1 is the other matrix of cofactors over the determinant.
        square = total[..., 1, 1] * d[..., 0] ** 2 + total[..., 0, 0] * d[..., 1] ** 2
        apart = (square - 2 * total[..., 0, 1] * d[..., 0] * d[..., 1]) / both / 4
        shapes = np.log(both**2 / (16 * product)) / 4
        lost = (_lost(total) + EPS) / both
        further = 2 * np.sqrt(apart * moved**2 * spread / both) + moved**2 * spread / both
        error = further + ROUNDED * square / both + lost * apart / (1 - lost)
        error -= np.log1p(-lost) + (np.log1p(-one_lost)[:, None] + np.log1p(-other_lost)[None, :]) / 2
        error += EPS / np.sqrt(product)
        distance = apart + shapes
        low, high = (_similarity(each) for each in (distance + error, distance - error))
    unknown = ~np.isfinite(distance) | ~np.isfinite(error)
    low[unknown], high[unknown] = 0, 1
    return low, high


def _covariance(xywhr: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    """The covariance of each box [N, 2, 2], its determinant [N], and what part of that rounding may take."""
    size, angle = xywhr[:, 2:4].astype(np.float64), xywhr[:, 4].astype(np.float64)
    axes = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    covariance = np.einsum("nki,nk,nkj->nij", axes, size**2 / 12, axes)
    determinant = size.prod(axis=1) ** 2 / 144
    with np.errstate(all="ignore"):  # boxes without area
        return covariance, determinant, _lost(covariance) / determinant


def _lost(covariance: Floats) -> Floats:
    """What rounding may take from the determinants of symmetric matrices [..., 2, 2]."""
    lost: Floats = ROUNDED * (covariance[..., 0, 0] * covariance[..., 1, 1] + covariance[..., 0, 1] ** 2)
    return lost


def _similarity(distance: Floats) -> Floats:
    similarity: Floats = 1 - np.sqrt(-np.expm1(-distance.clip(0, None)))
    return similarity
