"""Mean average precision by Ultralytics' formula, for comparison with ``yolo val``.

Detections are matched as in COCO, but without being clipped to the image. The precision-recall curve is
piecewise linear, ends at (1, 0), and is integrated by the trapezoidal rule. Where many objects reach the
border of their image, or there are few, this differs from COCO's. Ultralytics' own `ap_per_class` imports
torch, so the sum is computed here; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.objects import BOXES, Shape

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10, dtype=np.float32)  # the IoU of small masks may be one of them


def mean_average_precision(
    found: Sequence[Found], classes: Mapping[int, int], shape: Shape = BOXES
) -> tuple[float, float] | None:
    """mAP50-95 and mAP50, each in [0, 1]; None without objects; arguments as for `average_precisions`."""
    if not (precisions := average_precisions(found, classes, shape)):
        return None
    means = np.mean(list(precisions.values()), axis=0)
    return float(means.mean()), float(means[0])


def average_precisions(
    found: Sequence[Found], classes: Mapping[int, int], shape: Shape = BOXES
) -> dict[int, NDArray[np.float64]]:
    """The average precision at each of `IOU_THRESHOLDS`, by the dataset's class ids that have an object.

    Args:
        found: The detections in each example that counts.
        classes: The dataset's class ids by the model's, from `yolo_max.verify.val.classes.class_map`.
        shape: What of the objects is measured.
    """
    hits = Hits.of(found, classes, shape)
    return {
        class_id: np.array([_area(correct, count) for correct in hits.of_class(class_id).correct.T])
        for class_id, count in hits.objects.items()
    }


@dataclass(frozen=True)
class Hits:
    """All detections on a dataset, most confident first, and which of them found an object.

    Attributes:
        correct: bool [D, T], at each of `IOU_THRESHOLDS`.
        confidence: float32 [D].
        class_id: int64 [D], the dataset's ids.
        objects: How many objects each of its classes has that has any, by id.
    """

    correct: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    objects: Mapping[int, int]

    @classmethod
    def of(cls, found: Sequence[Found], classes: Mapping[int, int], shape: Shape = BOXES) -> Hits:
        """Matches detections and objects; arguments as for `average_precisions`."""
        correct, confidence, predicted, objects = [], [], [], []
        for each in found:
            detections, example = each.detections, each.example
            known = np.isin(detections.class_id, list(classes))
            class_id = np.array([classes[c] for c in detections.class_id[known].tolist()], np.int64)
            wanted = each.objects(shape)
            iou = shape.overlap(example, detections)[np.ix_(known, wanted)]
            iou[class_id[:, None] != example.class_id[wanted][None, :]] = 0
            correct.append(_matched(iou))
            confidence.append(detections.confidence[known])
            predicted.append(class_id)
            objects.append(example.class_id[wanted])
        every = np.concatenate([*confidence, np.zeros(0, np.float32)])
        order = np.argsort(-every, kind="stable")
        present, counts = np.unique(np.concatenate([*objects, np.zeros(0, np.int64)]), return_counts=True)
        return cls(
            np.concatenate([*correct, np.zeros((0, len(IOU_THRESHOLDS)), bool)])[order],
            every[order],
            np.concatenate([*predicted, np.zeros(0, np.int64)])[order],
            dict(zip(present.tolist(), counts.tolist(), strict=True)),
        )

    def of_class(self, class_id: int) -> Hits:
        """Those of one class."""
        mine = self.class_id == class_id
        return Hits(
            *(self.correct[mine], self.confidence[mine], self.class_id[mine]),
            {class_id: self.objects[class_id]},
        )


def _matched(iou: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which detections find an object at each threshold, [D, T]; the most confident choose first.

    Args:
        iou: [D, objects], most confident detection first; 0 where the classes differ.
    """
    correct = np.zeros((len(iou), len(IOU_THRESHOLDS)), bool)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = iou.copy()
        for row in np.flatnonzero((iou >= threshold).any(axis=1)):
            best = free[row].argmax()
            if free[row, best] >= threshold:
                correct[row, t] = True
                free[:, best] = 0
    return correct


def _area(hits: NDArray[np.bool_], objects: int) -> float:
    """Area under the precision-recall curve of one class; its hits are given most confident first."""
    if not len(hits):
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.trapezoid(precision_at(at, hits, objects), at))


def precision_at(recalls: NDArray[np.float64], hits: NDArray[np.bool_], objects: int) -> NDArray[np.float64]:
    """The precision of one class at some recalls, float64 as many: the best at that recall or a higher one.

    Args:
        recalls: In [0, 1].
        hits: bool [D], whether each detection found an object, most confident first; at least one.
        objects: How many there are.
    """
    true = hits.cumsum()
    recall, precision = true / objects, true / np.arange(1, len(hits) + 1)
    x = np.concatenate([[0.0], recall, [recall[-1], 1.0]])
    y = np.concatenate([[1.0], precision, [0.0, 0.0]])
    envelope = np.maximum.accumulate(y[::-1])[::-1]
    found: NDArray[np.float64] = np.interp(recalls, x, envelope)
    return found
