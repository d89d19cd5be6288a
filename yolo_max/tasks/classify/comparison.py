"""Classification's part of the parity rubric: logits, probabilities, and the top five."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.classify.classification import TOP, Classification
from yolo_max.tasks.classify.decoder import softmax
from yolo_max.tasks.comparison import Measure, PredictionDifference, Samples
from yolo_max.tasks.contract import Outputs, Placement, Prediction
from yolo_max.tasks.rubric import SCORE_BOUND, TensorDifference, Verdict, largest_difference


def judge_probabilities(difference: float) -> Verdict:
    """The rubric on the largest difference of a class probability; NaN fails."""
    if difference <= SCORE_BOUND:
        return Verdict()
    return Verdict((f"a class probability differs by {difference:.2g}, more than {SCORE_BOUND:g}",))


@dataclass(frozen=True)
class LogitsDifference:
    """How far apart the logits of one image are.

    Attributes:
        logits: The logits themselves.
        score: Largest difference of a class probability, their softmax.
    """

    logits: TensorDifference
    score: float

    @property
    def tensors(self) -> tuple[TensorDifference, ...]:
        """The logits."""
        return (self.logits,)

    @property
    def verdict(self) -> Verdict:
        """The rubric on both."""
        return self.logits.verdict + self.logits.precision_verdict + judge_probabilities(self.score)

    def samples(self) -> Samples:
        """The logits' difference; that of the probabilities is measured on the predictions."""
        return {"logit_difference": np.array([self.logits.difference])}

    def to_dict(self) -> dict[str, float]:
        """The same."""
        return {"difference": self.logits.difference}


@dataclass(frozen=True)
class ClassifyJudge:
    """Classification's `yolo_max.tasks.comparison.Judge`; the things are the classes of the top five.

    Attributes:
        nc: Number of classes.
    """

    nc: int
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            *("probability_difference", "class probability", SCORE_BOUND, "Δ probability"),
            tile="difference of a class probability",
        ),
        Measure("logit_difference", "logits", None, "Δ logits"),
    )
    thing: ClassVar[str] = "top-5 class"
    things: ClassVar[str] = "top-5 classes"
    listed: ClassVar[str] = "top5"
    agreements: ClassVar[Mapping[str, str]] = {"same_top1": "top-1", "same_top5": "top-5"}
    conditions: ClassVar[str] = ""

    def output_size(self, canvas_size: tuple[int, int]) -> int:  # noqa: ARG002
        """One logit per class."""
        return self.nc

    def raw(
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],  # noqa: ARG002
        exact: Outputs | None = None,
    ) -> LogitsDifference:
        """Compares the logits."""
        a, b = ours["logits"], reference["logits"]
        truth = None if exact is None else exact["logits"]
        logits = TensorDifference.between("logits", a, b, truth)
        comparable = np.isfinite(logits.difference)
        return LogitsDifference(
            logits, largest_difference(softmax(a), softmax(b)) if comparable else float("inf")
        )

    def predictions(
        self,
        ours: Prediction,
        reference: Prediction,
        outputs: Outputs,  # noqa: ARG002
        placement: Placement,  # noqa: ARG002
    ) -> PredictionDifference:
        """Pairs the classes of both top fives."""
        assert isinstance(ours, Classification)
        assert isinstance(reference, Classification)
        first, second = ours.class_id[:TOP], reference.class_id[:TOP]
        i, j = np.nonzero(first[:, None] == second[None, :])
        only_first, only_second = np.delete(np.arange(len(first)), i), np.delete(np.arange(len(second)), j)
        difference = largest_difference(ours.probabilities, reference.probabilities)
        return PredictionDifference(
            judge_probabilities(difference),
            (i, j),
            (only_first, only_second),
            (_undecided(first, reference), _undecided(second, reference)),
            {"probability_difference": np.array([difference])},
            moved=difference,
            same={"same_top1": bool(first[0] == second[0]), "same_top5": not len(only_first)},
            record={"probability_difference": difference},
        )


def _undecided(classes: NDArray[np.int32], reference: Classification) -> NDArray[np.bool_]:
    """Which classes rounding moves into or out of the top five: probabilities within their bounds swap."""
    probability, ranked = reference.probabilities[classes], reference.confidence
    last, next_one = ranked[:TOP][-1], ranked[TOP] if len(ranked) > TOP else -np.inf
    undecided: NDArray[np.bool_] = np.maximum(probability - next_one, last - probability) <= 2 * SCORE_BOUND
    return undecided
