"""The parity rubric: what it takes to say that MAX computes what PyTorch computes.

The tests, ``yolo-max compare`` and ``yolo-max bench`` apply it. Compared with PyTorch's fused module on the
same pixels are tensors (each layer and the raw outputs), boxes and scores of every anchor before NMS,
detections after NMS and their masks, and class probabilities; over whole datasets, mAP or accuracy. bf16
rounds to eight bits, which moves detections: its tensors, class scores, mAP and accuracy have bounds of their
own, and its boxes and detections none.

Every bound is here; how a task applies them is in its own ``comparison.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import ParityError

LAYER_BOUND = 5e-4
"""Largest difference from PyTorch in a tensor whose values stay within +-`LAYER_SCALE`."""
LAYER_SCALE = 10.0
"""Above this magnitude the bound grows with the largest value of the tensor."""
FLOAT64_RATIO = 1.5
"""How many times PyTorch's own rms distance from a float64 run MAX's may be, in the raw outputs."""
BOX_BOUND = 0.05
"""Largest difference of a box side before NMS, in canvas pixels."""
ANGLE_BOUND = 1e-3
"""Largest difference of a rotated box's angle before NMS, in radians."""
SCORE_BOUND = 8e-5
"""Largest difference of a class score before NMS, of a keypoint's visibility, and of a class probability.

On photographs PyTorch's own scores have been seen up to 5.5e-5 from float64, MAX's up to 2.5e-5."""
KEYPOINT_BOUND = 0.1
"""Largest difference of a coordinate of a keypoint, in canvas pixels."""
MATCH_IOU = 0.99
"""Min IoU of two detections that count as the same."""
MASK_IOU = 0.99
"""Min IoU of the masks of two detections that are the same."""
BF16_MEAN = 0.005
"""bf16's bound on the mean difference from PyTorch's float32 in a tensor, relative to its largest value.

Of trained networks 0.0022 has been seen in raw outputs; 0.0025 of PyTorch in bf16."""
BF16_MAX = 0.1
"""bf16's bound on the largest difference, likewise, in a layer or raw outputs.

Of YOLOv8n's raw outputs 0.086 has been seen, on one of 64 photographs; 0.134 of PyTorch in bf16."""
BF16_SCORE_BOUND = 0.4
"""bf16's bound on a class score before NMS, and on a class probability: 0.27 has been seen.

The largest values of a head are those of its boxes, so that their bound says little about classes. With this
one no score of 0.65 can fall below 0.25, where detections are dropped unless --conf says otherwise."""
CONFIDENCE_BOUND = 1e-3
"""Largest difference of their confidences."""
METRIC_BOUND = 5e-4
"""Largest difference of mAP50-95, or of accuracy, over a dataset."""
BF16_METRIC_BOUND = 3e-3
"""The same of bf16."""


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
        return Verdict(tuple(dict.fromkeys(self.failures + other.failures)))  # each is said once

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
        mean: Mean absolute difference between MAX and PyTorch.
        precision: "f32" or "bf16", whose bounds apply.
    """

    name: str
    difference: float
    magnitude: float
    max_error: float | None = None
    torch_error: float | None = None
    mean: float = 0.0
    precision: str = "f32"

    @classmethod
    def between(
        cls,
        name: str,
        ours: NDArray[np.float32],
        reference: NDArray[np.float32],
        exact: NDArray[np.float64] | None = None,
        precision: str = "f32",
    ) -> TensorDifference:
        """Measures one tensor.

        Args:
            name: What to call the tensor.
            ours: MAX's values.
            reference: PyTorch's values, of the same shape.
            exact: The values of a float64 run, of the same shape.
            precision: MAX's.
        """
        magnitude = float(np.abs(reference).max(initial=0))
        if ours.shape != reference.shape or not np.isfinite(ours).all() or not np.isfinite(reference).all():
            return cls(name, float("inf"), magnitude, mean=float("inf"), precision=precision)
        differences = np.abs(ours - reference)
        largest, mean = float(differences.max(initial=0)), float(differences.mean()) if ours.size else 0.0
        found = cls(name, largest, magnitude, mean=mean, precision=precision)
        if exact is None:
            return found
        return replace(found, max_error=_rms(ours - exact), torch_error=_rms(reference - exact))

    @property
    def bound(self) -> float:
        """The largest difference that the rubric allows here."""
        if self.precision == "bf16":
            return BF16_MAX * self.magnitude
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
        values, failures = f"(values up to {self.magnitude:.3g})", []
        if not self.difference <= self.bound:
            failures.append(
                f"{self.name} differs by {self.difference:.2g}, more than {self.bound:.2g} {values}"
            )
        mean_bound = BF16_MEAN * self.magnitude
        if self.precision == "bf16" and not self.mean <= mean_bound:
            failures.append(
                f"{self.name} differs by {self.mean:.2g} on average, more than {mean_bound:.2g} {values}"
            )
        return Verdict(tuple(failures))

    @property
    def precision_verdict(self) -> Verdict:
        """The rubric on the distance from float64; it holds for bf16, and where that was not measured."""
        if self.precision == "bf16" or self.ratio is None or self.ratio <= FLOAT64_RATIO:
            return Verdict()
        return Verdict(
            (
                f"{self.name} is {self.ratio:.2g} times as far from float64 as PyTorch is, more than "
                f"{FLOAT64_RATIO:g} times",
            )
        )


def judge_layers(layers: Sequence[TensorDifference], outputs: int = 1) -> Verdict:
    """The rubric on the layers of a network, the last ones being its raw outputs.

    Each is compared with PyTorch, and the outputs, where every layer's rounding adds up, with float64 too.
    (Before them, PyTorch's error is often a few units in the last place, Winograd's a harmless multiple.)
    """
    last = layers[-outputs:]
    return judge([*(layer.verdict for layer in layers), *(layer.precision_verdict for layer in last)])


def judge_bf16(tensors: Iterable[TensorDifference], score: float) -> Verdict:
    """The rubric on an image's raw outputs in bf16.

    Args:
        tensors: The raw outputs.
        score: Largest difference of a class score, or of a class probability; NaN fails.
    """
    failures = []
    if not score <= BF16_SCORE_BOUND:
        failures.append(f"a class score differs by {score:.2g}, more than {BF16_SCORE_BOUND:g}")
    return judge(replace(each, precision="bf16").verdict for each in tensors) + Verdict(tuple(failures))


def judge_metric(name: str, ours: float, reference: float, precision: str = "f32") -> Verdict:
    """The rubric on a metric over a dataset, both figures in [0, 1]; NaN fails."""
    bound = BF16_METRIC_BOUND if precision == "bf16" else METRIC_BOUND
    if abs(ours - reference) <= bound:
        return Verdict()
    return Verdict((f"{name} differs by {abs(ours - reference):.2g}, more than {bound:g}",))


def judge(verdicts: Iterable[Verdict]) -> Verdict:
    """Combines verdicts into one."""
    return sum(verdicts, Verdict())


def largest_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The largest absolute difference of two arrays of one shape; 0 if they are empty."""
    return float(np.abs(a - b).max(initial=0))


def _rms(difference: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64)))) if difference.size else 0.0
