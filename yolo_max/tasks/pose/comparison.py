"""Poses' part of the parity rubric: that of detection, and keypoints before and after NMS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.text import counted
from yolo_max.tasks.comparison import Measure, PredictionDifference, Samples
from yolo_max.tasks.contract import Outputs, Placement, Prediction
from yolo_max.tasks.detect.comparison import DetectJudge, HeadDifference
from yolo_max.tasks.detect.decode import anchor_points
from yolo_max.tasks.pose.decoder import PosePostprocess, decode_keypoints
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.rubric import KEYPOINT_BOUND, SCORE_BOUND, TensorDifference, Verdict, largest_difference


@dataclass(frozen=True)
class PoseDifference(HeadDifference):
    """How far apart the raw outputs of one image are, before NMS.

    Attributes:
        raw_keypoints: The raw keypoints themselves.
        keypoint: Largest difference of a coordinate of a keypoint, over all anchors, in canvas pixels.
        visibility: Largest difference of a visibility, over all anchors; 0 if there is none.
    """

    raw_keypoints: TensorDifference
    keypoint: float
    visibility: float

    @property
    def verdict(self) -> Verdict:
        """The rubric before NMS."""
        failures = []
        if not self.keypoint <= KEYPOINT_BOUND:
            failures.append(
                f"a keypoint differs by {self.keypoint:.2g} px before NMS, more than {KEYPOINT_BOUND:g} px"
            )
        if not self.visibility <= SCORE_BOUND:
            failures.append(
                f"a visibility differs by {self.visibility:.2g} before NMS, more than {SCORE_BOUND:g}"
            )
        raw = self.raw_keypoints.verdict + self.raw_keypoints.precision_verdict
        return super().verdict + raw + Verdict(tuple(failures))

    @property
    def tensors(self) -> tuple[TensorDifference, ...]:
        """The head and the keypoints."""
        return self.logits, self.raw_keypoints

    def samples(self) -> Samples:
        """One figure of each kind."""
        return {
            **super().samples(),
            "keypoint_difference_px": np.array([self.keypoint]),
            "visibility_difference": np.array([self.visibility]),
        }

    def to_dict(self) -> dict[str, float]:
        """The same figures."""
        return {**super().to_dict(), "keypoint_px": self.keypoint, "visibility": self.visibility}


@dataclass(frozen=True)
class PoseJudge(DetectJudge):
    """The `yolo_max.tasks.comparison.Judge` of poses.

    Attributes:
        postprocess: How raw outputs become poses.
    """

    postprocess: PosePostprocess
    measures: ClassVar[tuple[Measure, ...]] = (
        *DetectJudge.measures,
        Measure("pair_keypoint_px", "keypoint of a pair, px", KEYPOINT_BOUND, "Δ keypoint, px"),
        Measure(
            *("keypoint_difference_px", "keypoint before NMS, px", KEYPOINT_BOUND),
            tile="keypoint difference before NMS",
            unit="px",
        ),
        Measure("visibility_difference", "visibility before NMS", SCORE_BOUND),
    )
    thing: ClassVar[str] = "pose"
    things: ClassVar[str] = "poses"

    def output_size(self, canvas_size: tuple[int, int]) -> int:
        """Cells times channels."""
        count, dimensions = self.postprocess.kpt_shape
        cells = len(anchor_points(canvas_size, self.postprocess.strides)[0])
        return super().output_size(canvas_size) + cells * count * dimensions

    def raw(
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        exact: Outputs | None = None,
    ) -> PoseDifference:
        """Compares heads and keypoints."""
        head = super().raw(ours, reference, canvas_size, exact)
        truth = None if exact is None else exact["keypoints"]
        both = ours["keypoints"], reference["keypoints"]
        raw = TensorDifference.between("keypoints", *both, truth)
        if raw.difference == float("inf"):
            return PoseDifference(**vars(head), raw_keypoints=raw, keypoint=np.inf, visibility=np.inf)
        points, stride = anchor_points(canvas_size, self.postprocess.strides)
        a, b = (
            decode_keypoints(
                each, points, stride, self.postprocess.kpt_shape, doubled=self.postprocess.doubled
            )
            for each in both
        )
        return PoseDifference(
            **vars(head),
            raw_keypoints=raw,
            keypoint=largest_difference(a[..., :2], b[..., :2]),
            visibility=largest_difference(a[..., 2:], b[..., 2:]),
        )

    def predictions(
        self, ours: Prediction, reference: Prediction, outputs: Outputs, placement: Placement
    ) -> PredictionDifference:
        """Pairs the poses by their boxes."""
        assert isinstance(ours, Poses)
        assert isinstance(reference, Poses)
        difference = super().predictions(ours, reference, outputs, placement)
        first, second = difference.pairs
        apart = _distance(ours.xy[first], reference.xy[second], placement)
        wrong = (apart > KEYPOINT_BOUND) & ~(difference.excused[0][first] & difference.excused[1][second])
        failures: tuple[str, ...] = ()
        if count := int(np.count_nonzero(wrong)):
            failures = (
                f"the keypoints of {counted(count, 'pair')} are up to {apart[wrong].max():.2g} px apart, "
                f"more than {KEYPOINT_BOUND:g} px",
            )
        return replace(
            difference,
            verdict=difference.verdict + Verdict(failures),
            samples={**difference.samples, "pair_keypoint_px": apart},
            record={**difference.record, "keypoint_px": float(apart.max(initial=0))},
        )


def _distance(
    first: NDArray[np.float32], second: NDArray[np.float32], placement: Placement
) -> NDArray[np.float64]:
    """The largest difference of a coordinate in each pair of poses, float64 [P], in canvas pixels.

    Args:
        first: float32 [P, K, 2] in image pixels.
        second: Their partners.
        placement: How the image was placed on the canvas.
    """
    left, top, right, bottom = placement.window
    height, width = placement.image_size
    gain = np.array([(right - left) / width, (bottom - top) / height])
    distance: NDArray[np.float64] = (np.abs(first - second) * gain).max(axis=(1, 2), initial=0)
    return distance
