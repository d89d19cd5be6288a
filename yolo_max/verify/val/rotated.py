"""The accuracy of rotated boxes, by Ultralytics' formula: COCO defines none for them.

Detections and objects are matched by probabilistic IoU (`yolo_max.tasks.obb.probiou`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.obb.probiou import probiou
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.verify.val.coordinates import polygon
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.evaluate import Accuracy, ClassAccuracy, Found
from yolo_max.verify.val.labels import Labels, read_labels
from yolo_max.verify.val.objects import Boxes, Example
from yolo_max.verify.val.ultralytics_map import average_precisions

DEFINITION = "Boxes are matched by probabilistic IoU, as in yolo val; COCO has no metric for rotated ones."


@dataclass(frozen=True)
class RotatedBoxes(Boxes):
    """The rotated box of each object: the smallest rectangle around its polygon."""

    name: ClassVar[str] = "rotated"

    def read(self, path: Path, names: Mapping[int, str]) -> Labels:
        """Reads polygons, ``class x1 y1 x2 y2 x3 y3 x4 y4`` or longer ones."""
        labels = read_labels(path, names, self.keypoint_numbers)
        if any(len(numbers) == 4 for numbers in labels.shapes):
            raise ValueError("has upright boxes, where rotated ones are given by four corners")
        return labels

    def of_annotation(self, annotation: Mapping[str, Any]) -> tuple[float, ...]:
        """Its first polygon."""
        first, *_ = annotation["segmentation"]
        return tuple(polygon(first).ravel().tolist())

    def annotation(self, example: Example, index: int, image_size: tuple[int, int]) -> dict[str, Any]:
        """The corners of the box, in no form of COCO's."""
        points = np.reshape(example.shapes[index], (-1, 2)) * example.scale(image_size)
        return {"corners": cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32))).tolist()}

    def overlap(self, example: Example, prediction: RotatedDetections) -> NDArray[np.float64]:
        """Probabilistic IoU; 0 where a box has no area."""
        scale = example.scale(prediction.image_size)
        objects = [_smallest_rectangle(np.reshape(numbers, (-1, 2)) * scale) for numbers in example.shapes]
        truth = np.array(objects, np.float64).reshape(-1, 5)
        found: NDArray[np.float64] = np.nan_to_num(probiou(prediction.xywhr.astype(np.float64), truth), nan=0)
        return found


def _smallest_rectangle(points: NDArray[np.float64]) -> tuple[float, ...]:
    """Centre, width, height and angle in radians."""
    (x, y), (width, height), degrees = cv2.minAreaRect(points.astype(np.float32))
    return x, y, width, height, np.deg2rad(degrees)


@dataclass(frozen=True)
class RotatedPrecision:
    """Average precision, each in [0, 1]; None without objects.

    Attributes:
        map50_95: Over the thresholds 0.5, 0.55, ..., 0.95 of probabilistic IoU.
        map50: At 0.5.
        map75: At 0.75.
    """

    map50_95: float | None
    map50: float | None
    map75: float | None

    @classmethod
    def of(cls, precisions: Sequence[NDArray[np.float64]]) -> RotatedPrecision:
        """The mean over classes, from the average precision of each at each threshold."""
        if not precisions:
            return cls(None, None, None)
        at = np.mean(precisions, axis=0)
        return cls(float(at.mean()), float(at[0]), float(at[5]))

    def named(self) -> dict[str, float | None]:
        """The figures by display name."""
        return {"mAP50-95": self.map50_95, "mAP50": self.map50, "mAP75": self.map75}


def evaluate_rotated(
    dataset: BoxDataset, found: Sequence[Found], classes: Mapping[int, int]
) -> Accuracy[RotatedPrecision]:
    """Measures rotated detections against the objects of a dataset.

    Args:
        dataset: The dataset.
        found: The detections in each of its examples that counts.
        classes: From `yolo_max.verify.val.classes.class_map`.
    """
    precisions = average_precisions(found, classes, dataset.shape)
    present = [each.example.class_id[each.objects(dataset.shape)] for each in found]
    each_class = tuple(
        ClassAccuracy(
            class_id,
            dataset.names[class_id],
            sum(bool((ids == class_id).any()) for ids in present),
            sum(int(np.count_nonzero(ids == class_id)) for ids in present),
            RotatedPrecision.of([precision]),
        )
        for class_id, precision in precisions.items()
    )
    mean = RotatedPrecision.of(list(precisions.values()))
    return Accuracy(len(found), sum(each.objects for each in each_class), mean, each_class)
