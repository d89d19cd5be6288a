"""Rotated detection's part of the parity rubric: as detection's, with angles and rotated IoU.

Boxes are compared before NMS as the head describes them. (The same rectangle can be written with another
angle, of which a rounding error could make either; results are therefore compared by their overlap.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from yolo_max.tasks.comparison import Measure, Samples
from yolo_max.tasks.contract import Outputs, Placement
from yolo_max.tasks.detect.comparison import DetectJudge
from yolo_max.tasks.detect.decode import anchor_points, sigmoid
from yolo_max.tasks.obb.decode import decode_angles, decode_rotated_boxes
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.tasks.obb.tolerant_nms import RotatedTolerantNms
from yolo_max.tasks.rubric import (
    ANGLE_BOUND,
    BOX_BOUND,
    SCORE_BOUND,
    TensorDifference,
    Verdict,
    largest_difference,
)


@dataclass(frozen=True)
class RotatedHeadDifference:
    """How far apart the raw outputs of one image are, before NMS.

    Attributes:
        tensors: The raw outputs themselves: head and angles.
        box: Largest difference of x, y, width or height over all cells, in canvas pixels.
        angle: Largest difference of an angle over all cells, in radians.
        score: Largest difference of a class score, over all cells and classes.
    """

    tensors: tuple[TensorDifference, ...]
    box: float
    angle: float
    score: float

    @classmethod
    def between(
        cls,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        options: RotatedPostprocess,
        exact: Outputs | None = None,
    ) -> RotatedHeadDifference:
        """Measures one image.

        Args:
            ours: MAX's whole raw outputs.
            reference: PyTorch's.
            canvas_size: (height, width) of the network's input.
            options: How they are decoded.
            exact: PyTorch's in float64, if its distance matters.
        """
        tensors = tuple(
            TensorDifference.between(
                name, ours[name], reference[name], None if exact is None else exact[name]
            )
            for name in ("head", "angle")
        )
        if any(each.difference == float("inf") for each in tensors):
            return cls(tensors, *[float("inf")] * 3)
        points, stride = anchor_points(canvas_size, options.strides)
        sides = options.box_channels
        boxes = [
            decode_rotated_boxes(
                each["head"][:, :sides], decode_angles(each["angle"], options.angle_logit), points, stride
            )
            for each in (ours, reference)
        ]
        scores = (sigmoid(each["head"][:, sides:]) for each in (ours, reference))
        return cls(
            tensors,
            largest_difference(*(each[:, :4] for each in boxes)),
            largest_difference(*(each[:, 4] for each in boxes)),
            largest_difference(*scores),
        )

    @property
    def verdict(self) -> Verdict:
        """The rubric before NMS."""
        failures = [
            f"{what} differs by {difference:.2g}{unit} before NMS, more than {bound:g}{unit}"
            for what, difference, bound, unit in (
                ("a box", self.box, BOX_BOUND, " px"),
                ("an angle", self.angle, ANGLE_BOUND, " rad"),
                ("a score", self.score, SCORE_BOUND, ""),
            )
            if not difference <= bound
        ]
        verdicts = (each.verdict + each.precision_verdict for each in self.tensors)
        return sum(verdicts, Verdict()) + Verdict(tuple(failures))

    def samples(self) -> Samples:
        """One figure of each kind."""
        return {
            "box_difference_px": np.array([self.box]),
            "angle_difference_rad": np.array([self.angle]),
            "score_difference": np.array([self.score]),
            "head_difference": np.array([self.tensors[0].difference]),
        }

    def to_dict(self) -> dict[str, float]:
        """The same figures."""
        return {
            "difference": self.tensors[0].difference,
            "box_px": self.box,
            "angle_rad": self.angle,
            "score": self.score,
        }


@dataclass(frozen=True)
class RotatedJudge(DetectJudge):
    """Rotated detection's `yolo_max.tasks.comparison.Judge`."""

    postprocess: RotatedPostprocess
    measures: ClassVar[tuple[Measure, ...]] = (
        *DetectJudge.measures[:-2],
        Measure(
            *("angle_difference_rad", "angle before NMS, rad", ANGLE_BOUND, "Δ angle, rad"),
            tile="angle difference before NMS",
            unit="rad",
        ),
        *DetectJudge.measures[-2:],
    )

    def output_size(self, canvas_size: tuple[int, int]) -> int:
        """Cells times channels; an angle is one more."""
        post = self.postprocess
        return len(anchor_points(canvas_size, post.strides)[0]) * (post.box_channels + len(post.names) + 1)

    def raw(  # type: ignore[override]
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        exact: Outputs | None = None,
    ) -> RotatedHeadDifference:
        """Compares the heads and the angles."""
        return RotatedHeadDifference.between(ours, reference, canvas_size, self.postprocess, exact)

    def outcomes(self, outputs: Outputs, placement: Placement) -> RotatedTolerantNms:
        """Which candidates must be found, and which may be."""
        return RotatedTolerantNms.of_outputs(outputs, placement, self.postprocess)
