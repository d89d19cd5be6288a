"""Detection's part of the parity rubric: raw heads before NMS, detections after it.

    raw heads  ──► `HeadDifference`: the tensor, the boxes and scores of every cell
    detections ──► `DetectionDifference`: one to one, except for what rounding decides

Rounding alone may decide about a candidate close to a threshold, and through it about others.
``tolerant_nms.py`` finds these; the rubric excuses them and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.text import counted
from yolo_max.tasks.comparison import Measure, PredictionDifference, Samples
from yolo_max.tasks.contract import Outputs, Placement, Prediction
from yolo_max.tasks.detect.decode import anchor_points, decode_boxes, sigmoid
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.matching import Matching, match
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.detect.tolerant_nms import TolerantNms
from yolo_max.tasks.rubric import (
    BOX_BOUND,
    CONFIDENCE_BOUND,
    MATCH_IOU,
    SCORE_BOUND,
    TensorDifference,
    Verdict,
    largest_difference,
)


@dataclass(frozen=True)
class HeadDifference:
    """How far apart the raw heads of one image are, before NMS.

    Attributes:
        logits: The raw heads themselves.
        box: Largest difference of a side of a decoded box, over all anchors, in canvas pixels.
        score: Largest difference of a class score, over all anchors and classes.
    """

    logits: TensorDifference
    box: float
    score: float

    @classmethod
    def between(
        cls,
        ours: NDArray[np.float32],
        reference: NDArray[np.float32],
        canvas_size: tuple[int, int],
        strides: tuple[int, ...] = (8, 16, 32),
        reg_max: int = 16,
        exact: NDArray[np.float64] | None = None,
    ) -> HeadDifference:
        """Measures one image.

        Args:
            ours: MAX's raw head, float32 [A, 4 * reg_max + nc].
            reference: PyTorch's, of the same shape.
            canvas_size: (height, width) of the network's input.
            strides: Canvas pixels per cell, one per level.
            reg_max: Bins of the distribution of each side.
            exact: PyTorch's in float64, if its distance matters.
        """
        logits = TensorDifference.between("head", ours, reference, exact)
        if logits.difference == float("inf"):
            return cls(logits, float("inf"), float("inf"))
        points, stride = anchor_points(canvas_size, strides)
        sides = 4 * reg_max
        boxes = (decode_boxes(head[:, :sides], points, stride) for head in (ours, reference))
        scores = (sigmoid(head[:, sides:]) for head in (ours, reference))
        return cls(logits, largest_difference(*boxes), largest_difference(*scores))

    @property
    def verdict(self) -> Verdict:
        """The rubric before NMS."""
        failures = []
        if not self.box <= BOX_BOUND:
            failures.append(f"a box differs by {self.box:.2g} px before NMS, more than {BOX_BOUND:g} px")
        if not self.score <= SCORE_BOUND:
            failures.append(f"a score differs by {self.score:.2g} before NMS, more than {SCORE_BOUND:g}")
        return self.logits.verdict + self.logits.precision_verdict + Verdict(tuple(failures))

    @property
    def tensors(self) -> tuple[TensorDifference, ...]:
        """The head."""
        return (self.logits,)

    def samples(self) -> Samples:
        """One figure of each kind."""
        return {
            "box_difference_px": np.array([self.box]),
            "score_difference": np.array([self.score]),
            "head_difference": np.array([self.logits.difference]),
        }

    def to_dict(self) -> dict[str, float]:
        """The same figures."""
        return {"difference": self.logits.difference, "box_px": self.box, "score": self.score}


@dataclass(frozen=True)
class DetectionDifference:
    """How the detections of one image compare.

    Attributes:
        matching: Which detections of MAX and PyTorch belong together.
        excused_max: One bool per detection of MAX: whether it is undecided.
        excused_torch: The same for PyTorch's.
        missing: Phrases for what a side lacks or has whatever rounding does.
    """

    matching: Matching
    excused_max: NDArray[np.bool_]
    excused_torch: NDArray[np.bool_]
    missing: tuple[str, ...] = ()

    @classmethod
    def between(cls, ours: Detections, reference: Detections, nms: TolerantNms) -> DetectionDifference:
        """Compares two sets of detections of one image.

        Args:
            ours: MAX's detections.
            reference: PyTorch's.
            nms: Tolerant NMS over PyTorch's raw head.
        """
        missing = [
            phrase
            for side, detections in (("MAX", ours), ("PyTorch", reference))
            for phrase in nms.missing(detections, side, MATCH_IOU, CONFIDENCE_BOUND)
        ]
        return cls(
            match(ours, reference, nms.iou(nms.boxes_of(ours), nms.boxes_of(reference))),
            nms.undecided_among(ours, MATCH_IOU, CONFIDENCE_BOUND),
            nms.undecided_among(reference, MATCH_IOU, CONFIDENCE_BOUND),
            tuple(missing),
        )

    @property
    def verdict(self) -> Verdict:
        """The rubric after NMS."""
        failures = list(self.missing)
        pairs = self.matching
        apart = (pairs.iou < MATCH_IOU) | (pairs.confidence_difference > CONFIDENCE_BOUND)
        apart &= ~(self.excused_max[pairs.first] & self.excused_torch[pairs.second])
        if count := int(np.count_nonzero(apart)):
            iou, confidence = pairs.iou[apart].min(), pairs.confidence_difference[apart].max()
            failures.append(
                f"{counted(count, 'pair')} of detections {'are' if count > 1 else 'is'} too far apart "
                f"(IoU down to {iou:.4f}, confidences up to {confidence:.2g} apart)"
            )
        for side, alone, excused in (
            ("MAX", pairs.only_first, self.excused_max),
            ("PyTorch", pairs.only_second, self.excused_torch),
        ):
            if count := int(np.count_nonzero(~excused[alone])):
                failures.append(f"{counted(count, 'detection')} only {side} has, far from any threshold")
        return Verdict(tuple(failures))


@dataclass(frozen=True)
class DetectJudge:
    """Detection's `yolo_max.tasks.comparison.Judge`.

    Attributes:
        postprocess: How raw heads become detections.
    """

    postprocess: Postprocess
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("one_minus_iou", "1 - IoU of a pair", 1 - MATCH_IOU, "min IoU", similarity=True),
        Measure("confidence_difference", "confidence of a pair", CONFIDENCE_BOUND, "Δ confidence"),
        Measure(
            *("box_difference_px", "box before NMS, px", BOX_BOUND, "Δ box, px"),
            tile="box difference before NMS",
            unit="px",
        ),
        Measure("score_difference", "score before NMS", SCORE_BOUND, tile="score difference before NMS"),
        Measure("head_difference", "raw head", None, "Δ head"),
    )
    thing: ClassVar[str] = "detection"
    things: ClassVar[str] = "detections"
    listed: ClassVar[str] = "boxes"
    agreements: ClassVar[Mapping[str, str]] = {}

    @property
    def conditions(self) -> str:
        """Both thresholds."""
        return f"confidence above {self.postprocess.conf:g}, NMS at IoU {self.postprocess.iou:g}"

    def output_size(self, canvas_size: tuple[int, int]) -> int:
        """Cells times channels."""
        post = self.postprocess
        return len(anchor_points(canvas_size, post.strides)[0]) * (4 * post.reg_max + len(post.names))

    def raw(
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        exact: Outputs | None = None,
    ) -> HeadDifference:
        """Compares the heads."""
        post = self.postprocess
        truth = None if exact is None else exact["head"]
        return HeadDifference.between(
            ours["head"], reference["head"], canvas_size, post.strides, post.reg_max, truth
        )

    def outcomes(self, outputs: Outputs, placement: Placement) -> TolerantNms:
        """Which candidates must be found, and which may be."""
        return TolerantNms.of(outputs["head"], placement, self.postprocess)

    def predictions(
        self, ours: Prediction, reference: Prediction, outputs: Outputs, placement: Placement
    ) -> PredictionDifference:
        """Pairs the detections."""
        assert isinstance(ours, Detections)
        assert isinstance(reference, Detections)
        nms = self.outcomes(outputs, placement)
        difference = DetectionDifference.between(ours, reference, nms)
        pairs = difference.matching
        min_iou = float(pairs.iou.min(initial=1))
        confidence = float(pairs.confidence_difference.max(initial=0))
        return PredictionDifference(
            difference.verdict,
            (pairs.first, pairs.second),
            (pairs.only_first, pairs.only_second),
            (difference.excused_max, difference.excused_torch),
            {"one_minus_iou": 1 - pairs.iou, "confidence_difference": pairs.confidence_difference},
            moved=1 - min_iou + confidence,
            record={"min_iou": min_iou, "confidence_difference": confidence},
        )
