"""Precision and recall over confidence, and over each other, by Ultralytics' formulas (``ap_per_class``).

All at an IoU of 0.5. Curves of confidence are piecewise linear between the detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.objects import BOXES, Shape
from yolo_max.verify.val.ultralytics_map import Hits, precision_at

POINTS = 1000
EPSILON = 1e-16
"""What Ultralytics adds to divisors."""

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of each class that has an object.

    Attributes:
        class_id: The dataset's ids of the classes, ascending.
        names: Theirs.
        objects: int64 [C], how many each has.
        x: float64 [`POINTS`], confidences, or recalls, from 0 to 1.
        precision: float64 [C, `POINTS`], at each confidence.
        recall: The same of recall.
        precision_at_recall: float64 [C, `POINTS`], at each recall.
        ap50: float64 [C], average precision at an IoU of 0.5.
    """

    class_id: tuple[int, ...]
    names: tuple[str, ...]
    objects: NDArray[np.int64]
    x: Curve
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision_at_recall: NDArray[np.float64]
    ap50: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        names: Mapping[int, str],
        found: Sequence[Found],
        classes: Mapping[int, int],
        shape: Shape = BOXES,
    ) -> Curves:
        """Of detections on a dataset.

        Args:
            names: The dataset's class names by id.
            found: The detections in each example that counts.
            classes: The dataset's class ids by the model's.
            shape: What of the objects is measured.
        """
        hits = Hits.of(found, classes, shape)
        x = np.linspace(0, 1, POINTS)
        rows = np.zeros((3, len(hits.objects), POINTS))
        ap50 = np.zeros(len(hits.objects))
        for i, (class_id, objects) in enumerate(hits.objects.items()):
            mine = hits.of_class(class_id)
            if not len(mine.confidence):
                continue
            correct, confidence = mine.correct[:, 0], mine.confidence
            true = correct.cumsum()
            precision, recall = true / np.arange(1, len(true) + 1), true / objects
            rows[0, i] = np.interp(-x, -confidence, precision, left=1)
            rows[1, i] = np.interp(-x, -confidence, recall, left=0)
            rows[2, i] = precision_at(x, correct, objects)
            at = np.linspace(0, 1, 101)
            ap50[i] = np.trapezoid(precision_at(at, correct, objects), at)
        return cls(
            tuple(hits.objects),
            tuple(names[class_id] for class_id in hits.objects),
            np.array(list(hits.objects.values()), np.int64),
            *(x, *rows, ap50),
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def f1(self) -> NDArray[np.float64]:
        """The harmonic mean of precision and recall, float64 [C, `POINTS`], at each confidence."""
        f1: NDArray[np.float64] = 2 * self.precision * self.recall / (self.precision + self.recall + EPSILON)
        return f1

    @property
    def best(self) -> int:
        """The point at which the smoothed mean of F1 is highest; 0 without classes."""
        return int(smooth(self.f1.mean(axis=0)).argmax()) if len(self) else 0


def smooth(curve: Curve, part: float = 0.1) -> Curve:
    """A moving average over a part of a curve, whose ends go on beyond it."""
    window = round(len(curve) * part * 2) // 2 + 1
    beyond = window // 2
    padded = np.concatenate([np.full(beyond, curve[0]), curve, np.full(beyond, curve[-1])])
    smoothed: Curve = np.convolve(padded, np.ones(window) / window, mode="valid")
    return smoothed
