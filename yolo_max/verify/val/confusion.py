"""Which classes are taken for which: Ultralytics' ``ConfusionMatrix``.

A detection takes the object that it overlaps most, of whatever class, if that is by more than `IOU` and no
more confident detection has taken it. What is left on either side belongs to the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.objects import BOXES, Shape

IOU = 0.45
BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was predicted where each class is.

    Attributes:
        names: Of rows and columns; of detections the last is the background.
        counts: int64 [predicted, true].
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of_boxes(
        cls,
        names: Mapping[int, str],
        found: Sequence[Found],
        classes: Mapping[int, int],
        shape: Shape = BOXES,
    ) -> Confusion:
        """Of detections on a dataset; of all of them, as in Ultralytics' validator, so ``conf`` decides.

        Args:
            names: The dataset's class names by id.
            found: The detections in each example that counts.
            classes: The dataset's class ids by the model's; detections of others are left out.
            shape: How boxes overlap.
        """
        place = {class_id: i for i, class_id in enumerate(names)}
        counts = np.zeros((len(names) + 1, len(names) + 1), np.int64)
        for each in found:
            known = np.isin(each.detections.class_id, list(classes))
            wanted = ~each.example.crowd
            predicted = [place[classes[c]] for c in each.detections.class_id[known].tolist()]
            true = [place[c] for c in each.example.class_id[wanted].tolist()]
            taken = _taken(shape.overlap(each.example, each.detections)[np.ix_(known, wanted)])
            for i, row in enumerate(predicted):
                counts[row, true[taken[i]] if taken[i] >= 0 else -1] += 1
            for j in set(range(len(true))) - set(taken.tolist()):
                counts[-1, true[j]] += 1
        return cls((*names.values(), BACKGROUND), counts)

    @classmethod
    def of_classes(
        cls, names: Mapping[int, str], pairs: Sequence[tuple[int, int]], classes: Mapping[int, int]
    ) -> Confusion:
        """Of images that are of one class each.

        Args:
            names: The dataset's class names by id.
            pairs: Of each image, its class, and the model's id of the one that was predicted.
            classes: The dataset's class ids by the model's; images that are taken for others are left out.
        """
        place = {class_id: i for i, class_id in enumerate(names)}
        counts = np.zeros((len(names), len(names)), np.int64)
        for true, found in pairs:
            if (predicted := classes.get(found)) is not None:
                counts[place[predicted], place[true]] += 1
        return cls(tuple(names.values()), counts)

    @property
    def normalized(self) -> NDArray[np.float64]:
        """float64 [predicted, true]: parts of what is true; a column adds up to 1, or to 0 if it is empty."""
        shares: NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(axis=0, keepdims=True), 1)
        return shares


def _taken(iou: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which object each detection takes, intp [D]; -1 for none.

    Args:
        iou: [D, objects], most confident detection first.
    """
    free = iou.copy()
    taken = np.full(len(iou), -1, np.intp)
    if free.shape[1]:
        for row in np.flatnonzero((iou > IOU).any(axis=1)):
            best = free[row].argmax()
            if free[row, best] > IOU:
                taken[row] = best
                free[:, best] = 0
    return taken
