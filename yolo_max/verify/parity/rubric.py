"""The parity rubric: what it takes to say that MAX computes what PyTorch computes.

The tests and ``yolo-max compare`` both apply it. Compared with PyTorch's fused module on the same pixels are
tensors (each layer and the raw outputs), boxes and scores of every anchor before NMS, detections after NMS,
and class probabilities; over whole datasets, mAP or accuracy.

Rounding alone may decide about a candidate close to a threshold, and through it about others.
``tolerant_nms.py`` finds these; the rubric excuses them and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import ParityError
from yolo_max.support.text import counted
from yolo_max.tasks.detect.decode import anchor_points, decode_boxes, sigmoid
from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.parity.matching import Matching, match
from yolo_max.verify.parity.tolerant_nms import TolerantNms

LAYER_BOUND = 5e-4
"""Largest difference from PyTorch in a tensor whose values stay within +-`LAYER_SCALE`."""
LAYER_SCALE = 10.0
"""Above this magnitude the bound grows with the largest value of the tensor."""
FLOAT64_RATIO = 3.0
"""How many times PyTorch's own distance from a float64 run MAX's may be, at the raw head."""
BOX_BOUND = 0.05
"""Largest difference of a box side before NMS, in canvas pixels."""
SCORE_BOUND = 1e-4
"""Largest difference of a class score before NMS, and of a class probability of a whole image."""
MATCH_IOU = 0.99
"""Min IoU of two detections that count as the same."""
CONFIDENCE_BOUND = 1e-3
"""Largest difference of their confidences."""
METRIC_BOUND = 5e-4
"""Largest difference of mAP50-95, or of accuracy, over a dataset."""


@dataclass(frozen=True)
class Verdict:
    """Whether the rubric holds, and what failed if not.

    Attributes:
        failures: One phrase per value out of bounds; empty if the rubric holds.
    """

    failures: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(self.failures + other.failures)

    def __str__(self) -> str:
        return "parity holds" if self.holds else f"parity does not hold: {'; '.join(self.failures)}"

    def about(self, subject: str) -> Verdict:
        """The same verdict with ``subject``, such as an image's name, before every failure."""
        return Verdict(tuple(f"{subject}: {failure}" for failure in self.failures))

    def require(self) -> None:
        """Raises ParityError, with the verdict as its message, unless the rubric holds."""
        if not self.holds:
            raise ParityError(f"{self}.")


@dataclass(frozen=True)
class TensorDifference:
    """How far MAX is from PyTorch in one tensor.

    Attributes:
        name: Which tensor, e.g. "model.4 C2f" or "head".
        difference: Largest absolute difference between MAX and PyTorch; inf if a value is not finite or
            the shapes differ.
        magnitude: Largest absolute value on PyTorch's side.
        max_error: Root mean square distance of MAX from a float64 run; None without one.
        torch_error: The same of PyTorch in float32.
    """

    name: str
    difference: float
    magnitude: float
    max_error: float | None = None
    torch_error: float | None = None

    @classmethod
    def between(
        cls,
        name: str,
        ours: NDArray[np.float32],
        reference: NDArray[np.float32],
        exact: NDArray[np.float64] | None = None,
    ) -> TensorDifference:
        """Measures one tensor.

        Args:
            name: What to call the tensor.
            ours: MAX's values.
            reference: PyTorch's values, of the same shape.
            exact: The values of a float64 run, of the same shape.
        """
        magnitude = float(np.abs(reference).max(initial=0))
        if ours.shape != reference.shape or not np.isfinite(ours).all() or not np.isfinite(reference).all():
            return cls(name, float("inf"), magnitude)
        difference = float(np.abs(ours - reference).max(initial=0))
        if exact is None:
            return cls(name, difference, magnitude)
        return cls(name, difference, magnitude, _rms(ours - exact), _rms(reference - exact))

    @property
    def bound(self) -> float:
        """The largest difference that the rubric allows here."""
        return LAYER_BOUND * max(1.0, self.magnitude / LAYER_SCALE)

    @property
    def ratio(self) -> float | None:
        """MAX's distance from float64 in terms of PyTorch's; None without a float64 run."""
        if self.max_error is None or self.torch_error is None:
            return None
        if self.torch_error == 0:
            return 0.0 if self.max_error == 0 else float("inf")
        return self.max_error / self.torch_error

    @property
    def verdict(self) -> Verdict:
        """The rubric on the difference from PyTorch."""
        if self.difference <= self.bound:
            return Verdict()
        bound = f"more than {self.bound:.2g} (values up to {self.magnitude:.3g})"
        return Verdict((f"{self.name} differs by {self.difference:.2g}, {bound}",))

    @property
    def precision_verdict(self) -> Verdict:
        """The rubric on the distance from float64; it holds where that was not measured."""
        if self.ratio is None or self.ratio <= FLOAT64_RATIO:
            return Verdict()
        return Verdict(
            (
                f"{self.name} is {self.ratio:.2g} times as far from float64 as PyTorch is, more than "
                f"{FLOAT64_RATIO:g} times",
            )
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
    ) -> HeadDifference:
        """Measures one image.

        Args:
            ours: MAX's raw head, float32 [A, 4 * reg_max + nc].
            reference: PyTorch's, of the same shape.
            canvas_size: (height, width) of the network's input.
            strides: Canvas pixels per cell, one per level.
            reg_max: Bins of the distribution of each side.
        """
        logits = TensorDifference.between("head", ours, reference)
        if logits.difference == float("inf"):
            return cls(logits, float("inf"), float("inf"))
        points, stride = anchor_points(canvas_size, strides)
        sides = 4 * reg_max
        boxes = (decode_boxes(head[:, :sides], points, stride) for head in (ours, reference))
        scores = (sigmoid(head[:, sides:]) for head in (ours, reference))
        return cls(logits, _largest_difference(*boxes), _largest_difference(*scores))

    @property
    def verdict(self) -> Verdict:
        """The rubric before NMS."""
        failures = []
        if not self.box <= BOX_BOUND:
            failures.append(f"a box differs by {self.box:.2g} px before NMS, more than {BOX_BOUND:g} px")
        if not self.score <= SCORE_BOUND:
            failures.append(f"a score differs by {self.score:.2g} before NMS, more than {SCORE_BOUND:g}")
        return self.logits.verdict + Verdict(tuple(failures))


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
            match(ours, reference),
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


def judge_layers(layers: Sequence[TensorDifference]) -> Verdict:
    """The rubric on the layers of a network, the last one being its raw head.

    Each is compared with PyTorch, and the head, where every layer's rounding adds up, with float64 too.
    (Before the head, PyTorch's error is often a few units in the last place, Winograd's a harmless multiple.)
    """
    return judge([*(layer.verdict for layer in layers), *(layer.precision_verdict for layer in layers[-1:])])


def judge_metric(name: str, ours: float, reference: float) -> Verdict:
    """The rubric on a metric over a dataset, both figures in [0, 1]; NaN fails."""
    if abs(ours - reference) <= METRIC_BOUND:
        return Verdict()
    return Verdict((f"{name} differs by {abs(ours - reference):.2g}, more than {METRIC_BOUND:g}",))


def judge_probabilities(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> Verdict:
    """The rubric on the class probabilities of an image, both float32 [nc]; NaN fails."""
    difference = _largest_difference(ours, reference)
    if difference <= SCORE_BOUND:
        return Verdict()
    return Verdict((f"a class probability differs by {difference:.2g}, more than {SCORE_BOUND:g}",))


def judge(verdicts: Iterable[Verdict]) -> Verdict:
    """Combines verdicts into one."""
    return sum(verdicts, Verdict())


def _largest_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max(initial=0))


def _rms(difference: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64)))) if difference.size else 0.0
