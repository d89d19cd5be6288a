"""Tolerant NMS: which candidates must be kept, which must go, and which rounding decides.

Two engines that agree to the last few bits can still disagree about a box: its score lies at the threshold,
its overlap with a better box lies at the IoU threshold, two overlapping boxes score the same, or one of these
is true of a box that suppresses it. Greedy NMS is therefore run here in three values: if scores and overlaps
are only known up to a margin, a candidate *must* be kept, must be dropped, or is *undecided*.

It is written from the definitions, pair by pair in float64, and shares no code with ``nms.py``, so it is also
the oracle for the product's own thresholding and NMS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.contract import Placement
from yolo_max.tasks.detect.decode import anchor_points, decode_boxes, sigmoid
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.matching import box_iou
from yolo_max.tasks.detect.postprocess import CLASS_OFFSET, TOP, Postprocess

MARGIN = 1e-3
"""How close to a threshold a score or an IoU leaves a candidate undecided."""

Suppress: TypeAlias = Callable[[NDArray[np.intp], float], tuple[NDArray[np.bool_], NDArray[np.bool_]]]


class Candidates(NamedTuple):
    """What may be detections before NMS: cells with one of their classes.

    Attributes:
        cell: intp [N].
        class_id: intp [N].
        score: float32 [N].
        sure: bool [N]: whether it is one whatever rounding does.
    """

    cell: NDArray[np.intp]
    class_id: NDArray[np.intp]
    score: NDArray[np.float32]
    sure: NDArray[np.bool_]

    @classmethod
    def of(cls, head: NDArray[np.float32], options: Postprocess, margin: float) -> Candidates:
        """Finds them; arguments as for `TolerantNms.of`."""
        scores = sigmoid(head[:, options.box_channels :])
        best = scores.max(axis=1, keepdims=True)
        # Scores this small differ by less, and a margin below 0 would make every cell a candidate.
        possible = scores > max(options.conf - margin, options.conf / 2)
        certain = scores > options.conf + margin
        if not options.every_class:
            possible &= scores >= best - margin
            certain &= possible & (np.count_nonzero(scores >= best - margin, axis=1, keepdims=True) == 1)
        if options.classes is not None and options.nms:
            possible &= np.isin(np.arange(scores.shape[1]), options.classes)
        cell, class_id = np.nonzero(possible)
        return cls(cell, class_id, scores[cell, class_id], certain[cell, class_id])

    def outcomes(
        self, options: Postprocess, cells: int, margin: float, suppress: Suppress
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which must be kept and which may be, bool [N] each.

        Args:
            options: The options of NMS.
            cells: How many cells the head has.
            margin: As for `TolerantNms.of`.
            suppress: From the indices of candidates that can suppress each other, and how far NMS moves their
                boxes, in pixels, before float32 rounds them: the same of these alone.
        """
        if options.nms:
            must, may = np.zeros(len(self.cell), bool), np.zeros(len(self.cell), bool)
            groups = np.zeros_like(self.class_id) if options.agnostic_nms else self.class_id
            for group in np.unique(groups):
                members = np.flatnonzero(groups == group)
                must[members], may[members] = suppress(members, float(group) * CLASS_OFFSET)
        else:
            must, may = self.sure.copy(), np.ones(len(self.cell), bool)
            _truncate(self.score, must, may, min(max(options.max_det, TOP), cells), margin)
            if options.classes is not None:
                wanted = np.isin(self.class_id, options.classes)
                must, may = must & wanted, may & wanted
        _truncate(self.score, must, may, options.max_det, margin)
        return must, may


@dataclass(frozen=True)
class TolerantNms:
    """The candidates of one image and their outcomes.

    Attributes:
        boxes: float32 [N, 4] in image pixels, clipped to the image.
        confidence: float32 [N].
        class_id: intp [N].
        must: bool [N]: kept, whatever rounding does.
        may: bool [N]: kept or undecided.
    """

    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.intp]
    must: NDArray[np.bool_]
    may: NDArray[np.bool_]

    @classmethod
    def of(
        cls, head: NDArray[np.float32], placement: Placement, postprocess: Postprocess, margin: float = MARGIN
    ) -> TolerantNms:
        """Works out the outcomes for one image.

        Args:
            head: The reference's raw head, float32 [A, 4 * reg_max + nc].
            placement: Where the image lies in the canvas that the network saw.
            postprocess: The options of thresholding and NMS.
            margin: How close to a threshold a score or an IoU may lie, or two scores to each other.
        """
        found = Candidates.of(head, postprocess, margin)
        points, stride = anchor_points(placement.canvas_size, postprocess.strides)
        boxes = decode_boxes(
            head[found.cell, : postprocess.box_channels], points[found.cell], stride[found.cell]
        )

        def suppress(members: NDArray[np.intp], shift: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
            low, high = _iou_bounds(boxes[members], shift)
            return _suppress(low, high, found.score[members], found.sure[members], postprocess.iou, margin)

        must, may = found.outcomes(postprocess, len(head), margin, suppress)
        return cls(placement.to_image(boxes), found.score, found.class_id, must, may)

    @staticmethod
    def boxes_of(detections: Detections) -> NDArray[np.float32]:
        """What of detections is compared with `boxes`."""
        return detections.xyxy

    @staticmethod
    def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
        """The IoU of every pair of such boxes, float64 [N, M]."""
        return box_iou(first, second)

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """The candidates that rounding decides, bool [N]."""
        return np.logical_and(self.may, ~self.must)

    def undecided_among(self, detections: Detections, iou: float, confidence: float) -> NDArray[np.bool_]:
        """Which detections are undecided candidates; one bool per detection.

        Args:
            detections: Detections of the same image, by either engine.
            iou: Min IoU for a detection to be a candidate of its class.
            confidence: Max difference of their confidences.
        """
        same = self._same(detections, iou, confidence)
        undecided: NDArray[np.bool_] = np.count_nonzero(same[:, self.undecided], axis=1) > 0
        return undecided

    def missing(self, detections: Detections, side: str, iou: float, confidence: float) -> Iterator[str]:
        """Yields what ``side`` lacks and what it must not have; arguments as for `undecided_among`."""
        same = self._same(detections, iou, confidence)
        if lacking := int(np.count_nonzero(~same[:, self.must].any(axis=0))):
            known = np.count_nonzero(self.must)
            yield f"{side} lacks {lacking} of {known} detections that no rounding removes"
        if wrong := int(np.count_nonzero(~same[:, self.may].any(axis=1))):
            yield f"{side} has {wrong} of {len(detections)} detections that no rounding brings about"

    def _same(self, detections: Detections, iou: float, confidence: float) -> NDArray[np.bool_]:
        same = self.iou(self.boxes_of(detections), self.boxes) >= iou
        same &= detections.class_id[:, None] == self.class_id[None, :]
        same &= np.abs(detections.confidence[:, None] - self.confidence[None, :]) <= confidence
        return same


def _suppress(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    score: NDArray[np.float32],
    sure: NDArray[np.bool_],
    threshold: float,
    margin: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Greedy NMS in three values over candidates that can suppress each other: (must be kept, may be kept).

    Args:
        low: float64 [N, N], min IoU of each pair.
        high: float64 [N, N], max IoU of each pair.
        score: float32 [N].
        sure: bool [N], whether it is certainly a candidate.
        threshold: IoU above which the better of two boxes suppresses the other.
        margin: Uncertainty of each score and each IoU.
    """
    ahead = score[:, None].astype(np.float64) - score[None, :]
    surely_drops = (low > threshold + margin) & (ahead > margin)
    may_drop = (high > threshold - margin) & (ahead > -margin)
    np.fill_diagonal(may_drop, False)
    must, may = np.zeros(len(score), bool), np.ones(len(score), bool)
    while True:  # each round settles more candidates, so the loop ends
        settled = int(must.sum()) - int(may.sum())
        must = sure & ~np.any(may_drop[may], axis=0)
        may = ~np.any(surely_drops[must], axis=0)
        if int(must.sum()) - int(may.sum()) == settled:
            return must, may


def _iou_bounds(xyxy: NDArray[np.float32], shift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Min and max IoU of each pair after ``shift`` is added to the sides in float32."""
    boxes = xyxy.astype(np.float64)
    error = float(np.spacing(np.float32(shift + np.abs(boxes).max(initial=1)))) / 2
    size = boxes[:, 2:] - boxes[:, :2]
    overlap = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[None, :, :2]
    )
    bounds = []
    for sign in (-1, 1):
        intersection = (overlap + sign * 2 * error).clip(0).prod(-1)
        area = (size - sign * 2 * error).clip(0).prod(-1)
        union = area[:, None] + area[None, :] - intersection
        iou = np.full_like(union, (1 + sign) / 2)  # where the union may vanish, anything from 0 to 1
        np.divide(intersection, union, out=iou, where=union > 0)
        bounds.append(iou.clip(0, 1))
    return bounds[0], bounds[1]


def _truncate(
    score: NDArray[np.float32],
    must: NDArray[np.bool_],
    may: NDArray[np.bool_],
    max_det: int,
    margin: float,
) -> None:
    """Applies ``max_det`` in place: only that many of the most confident are kept."""
    ascending_must, ascending_may = np.sort(score[must]), np.sort(score[may])
    surely_ahead = len(ascending_must) - np.searchsorted(ascending_must, score + margin, "right")
    maybe_ahead = len(ascending_may) - np.searchsorted(ascending_may, score - margin, "left") - may
    may &= surely_ahead < max_det
    must &= maybe_ahead < max_det
