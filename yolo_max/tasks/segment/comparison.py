"""Segmentation's part of the parity rubric: detection's, mask coefficients, prototypes, and masks.

Rounding alone may decide about a pixel whose logit is close to 0, or that lies at the edge of its box. The
rubric excuses masks that differ in such pixels and in no others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.text import counted
from yolo_max.tasks.comparison import Measure, PredictionDifference, Samples
from yolo_max.tasks.contract import Outputs, Placement, Prediction
from yolo_max.tasks.detect.comparison import DetectJudge, HeadDifference
from yolo_max.tasks.detect.decode import anchor_points, decode_boxes
from yolo_max.tasks.detect.matching import box_iou
from yolo_max.tasks.detect.tolerant_nms import MARGIN, Candidates, TolerantNms
from yolo_max.tasks.rle import Boundaries, area, decode, intersection, iou
from yolo_max.tasks.rubric import BOX_BOUND, MASK_IOU, MATCH_IOU, TensorDifference, Verdict
from yolo_max.tasks.segment.decoder import SegmentDecoder, prototype_size
from yolo_max.tasks.segment.segmentation import Segmentation

LOGIT_MARGIN = 4 * MARGIN
"""How close to 0 a pixel's logit leaves it undecided: where its probability is within `MARGIN` of 0.5."""


@dataclass(frozen=True)
class SegmentRawDifference(HeadDifference):
    """How far apart the raw outputs of one image are.

    Attributes:
        coefficients: The mask coefficients of all cells.
        prototypes: The prototypes.
    """

    coefficients: TensorDifference
    prototypes: TensorDifference

    @property
    def tensors(self) -> tuple[TensorDifference, ...]:
        """Head, coefficients and prototypes."""
        return (*super().tensors, self.coefficients, self.prototypes)

    @property
    def verdict(self) -> Verdict:
        """The rubric on all of them."""
        masks = (self.coefficients, self.prototypes)
        return sum((each.verdict + each.precision_verdict for each in masks), super().verdict)

    def samples(self) -> Samples:
        """One figure of each kind."""
        return {
            **super().samples(),
            "coefficient_difference": np.array([self.coefficients.difference]),
            "prototype_difference": np.array([self.prototypes.difference]),
        }

    def to_dict(self) -> dict[str, float]:
        """The same figures."""
        return {
            **super().to_dict(),
            "coefficients": self.coefficients.difference,
            "prototypes": self.prototypes.difference,
        }


@dataclass(frozen=True)
class SegmentJudge(DetectJudge):
    """Segmentation's `yolo_max.tasks.comparison.Judge`."""

    postprocess: SegmentDecoder
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "one_minus_mask_iou", "1 - mask IoU of a pair", 1 - MASK_IOU, "min mask IoU", similarity=True
        ),
        *DetectJudge.measures,
        Measure("coefficient_difference", "mask coefficients", None),
        Measure("prototype_difference", "prototypes", None),
    )

    def output_size(self, canvas_size: tuple[int, int]) -> int:
        """Those of detection, and as if there were a coefficient and a prototype for each of 32 masks."""
        cells = len(anchor_points(canvas_size, self.postprocess.strides)[0])
        height, width = prototype_size(canvas_size, self.postprocess.strides)
        return super().output_size(canvas_size) + 32 * (cells + height * width)

    def raw(
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        exact: Outputs | None = None,
    ) -> SegmentRawDifference:
        """Compares the heads, the coefficients and the prototypes."""
        coefficients, prototypes = (
            TensorDifference.between(name, ours[name], reference[name], (exact or {}).get(name))
            for name in ("coefficients", "prototypes")
        )
        head = super().raw(ours, reference, canvas_size, exact)
        return SegmentRawDifference(head.logits, head.box, head.score, coefficients, prototypes)

    def outcomes(self, outputs: Outputs, placement: Placement) -> TolerantNms:
        """As for detection; what has no pixel is not found."""
        nms = super().outcomes(outputs, placement)
        if self.postprocess.coarse_masks:
            return nms
        must, may = nms.must.copy(), nms.may.copy()
        candidates = np.flatnonzero(may)
        least, most = self._bounds(outputs, placement, candidates)
        must[candidates] &= np.array([len(each) > 0 for each in least], bool)
        may[candidates] &= np.array([len(each) > 0 for each in most], bool)
        return replace(nms, must=must, may=may)

    def predictions(
        self, ours: Prediction, reference: Prediction, outputs: Outputs, placement: Placement
    ) -> PredictionDifference:
        """Pairs the detections, and compares the masks of each pair."""
        assert isinstance(ours, Segmentation)
        assert isinstance(reference, Segmentation)
        found = super().predictions(ours, reference, outputs, placement)
        first, second = found.pairs
        masks = [
            (decode(a, ours.mask_size), decode(b, reference.mask_size))
            for a, b in zip(ours.rle[first], reference.rle[second], strict=True)
        ]
        mask_iou = np.array([iou(a, b) for a, b in masks])
        # Where rounding chooses among boxes, it does so among their masks.
        apart = (mask_iou < MASK_IOU) & (found.samples["one_minus_iou"] <= 1 - MATCH_IOU)
        apart &= ~(found.excused[0][first] & found.excused[1][second])
        failing = [
            mask_iou[i]
            for i in np.flatnonzero(apart)
            if not self._within_rounding(reference[second[i : i + 1]], masks[i], outputs, placement)
        ]
        verdict = found.verdict
        if failing:
            pairs = f"{counted(len(failing), 'pair')} of masks"
            verdict += Verdict((f"{pairs} too far apart (IoU down to {min(failing):.4f})",))
        least = float(mask_iou.min(initial=1))
        return replace(
            found,
            verdict=verdict,
            samples={**found.samples, "one_minus_mask_iou": 1 - mask_iou},
            moved=found.moved + 1 - least,
            record={**found.record, "min_mask_iou": least},
        )

    def _within_rounding(
        self,
        detection: Segmentation,
        masks: tuple[Boundaries, Boundaries],
        outputs: Outputs,
        placement: Placement,
    ) -> bool:
        """Whether two masks of one detection differ in undecided pixels only."""
        nms = super().outcomes(outputs, placement)
        likeness = box_iou(detection.xyxy, nms.boxes)[0] - abs(nms.confidence - detection.confidence)
        best = int(np.where(nms.class_id == detection.class_id, likeness, -1).argmax())
        (least,), (most,) = self._bounds(outputs, placement, np.array([best]))
        return all(
            intersection(mask, most) == area(mask) and intersection(mask, least) == area(least)
            for mask in masks
        )

    def _bounds(
        self, outputs: Outputs, placement: Placement, candidates: NDArray[np.intp]
    ) -> tuple[list[Boundaries], list[Boundaries]]:
        """What the masks of some candidates hold whatever rounding does, and what they may hold."""
        decoder = self.postprocess
        cell = Candidates.of(outputs["head"], decoder, MARGIN).cell[candidates]
        points, stride = anchor_points(placement.canvas_size, decoder.strides)
        boxes = decode_boxes(outputs["head"][cell, : decoder.box_channels], points[cell], stride[cell])
        grid = decoder.grid(outputs["prototypes"], placement)
        least, most = (
            grid.masks(
                outputs["prototypes"],
                outputs["coefficients"][cell],
                placement.to_image(grown) if decoder.retina_masks else grown,
                min_logit,
            )
            for min_logit, grown in (
                (sign * LOGIT_MARGIN, boxes + np.array([sign, sign, -sign, -sign], np.float32) * BOX_BOUND)
                for sign in (1, -1)
            )
        )
        return [decode(each, grid.size) for each in least], [decode(each, grid.size) for each in most]
