"""The metrics: how each reads its datasets and measures predictions on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from yolo_max.tasks.contract import Prediction
from yolo_max.verify.val import accuracy, evaluate, rotated
from yolo_max.verify.val.classes import class_map, class_map_by_order
from yolo_max.verify.val.confusion import Confusion
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.dataset import BoxDataset, Dataset
from yolo_max.verify.val.figures import Figures
from yolo_max.verify.val.image_folder import load_image_folder
from yolo_max.verify.val.keypoints import Keypoints
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.masks import Masks
from yolo_max.verify.val.objects import BOXES, Shape
from yolo_max.verify.val.shape_accuracy import ShapeAccuracy
from yolo_max.verify.val.ultralytics_map import mean_average_precision

ULTRALYTICS_RULES = "precision by trapezoids instead of the mean over steps, nothing clipped to the image"
ULTRALYTICS_SHAPES = {
    Masks.name: "masks at the size of the prototypes, a pixel in one object at most",
    Keypoints.name: "objects' areas always from their boxes",
}
"""What it does otherwise with what is measured beside boxes."""


@dataclass(frozen=True)
class Measurement:
    """The accuracy of one engine on a dataset.

    Attributes:
        accuracy: The figures.
        predictions: Every prediction, in the evaluators' JSON form.
        ultralytics: mAP50-95 and mAP50 by the formula of ``yolo val``, if it differs, by display name; empty
            without objects.
        rules: What ``yolo val`` does otherwise than COCO, as far as that formula has it.
        warnings: Phrases about what casts doubt on the figures.
        curves: Precision and recall of what is measured, by its name; none of classifications.
        confusion: Which classes are taken for which.
        definition: A sentence about the metric, if it is not COCO's.
    """

    accuracy: Figures
    predictions: list[dict[str, Any]] = field(repr=False)
    ultralytics: Mapping[str, float] = field(default_factory=dict)
    rules: str = ULTRALYTICS_RULES
    warnings: tuple[str, ...] = ()
    curves: Mapping[str, Curves] = field(default_factory=dict, repr=False)
    confusion: Confusion | None = field(default=None, repr=False)
    definition: str = ""


@dataclass(frozen=True)
class Metric:
    """One definition of accuracy.

    Attributes:
        load: Reads a dataset, given its path, a split and the folder of its images.
        classes: The dataset's class ids by the model's, from the names of both and the
            ids that have an object.
        measure: Measures the predictions, given that map and max_det.
    """

    load: Callable[[Path, str, Path | None], Dataset]
    classes: Callable[[Mapping[int, str], Mapping[int, str], Collection[int]], dict[int, int]]
    measure: Callable[
        [Any, Sequence[tuple[Any, Prediction]], Mapping[int, int], int],
        Measurement,
    ]


def require(path: Path) -> None:
    """Checks that the packages for measuring a dataset are installed; quick, so that it can come first.

    Raises:
        EngineError: A package is not installed.
    """
    if not path.is_dir():
        evaluate.require_evaluator()


def _measure_map(
    dataset: BoxDataset, pairs: Sequence[tuple[Any, Any]], classes: Mapping[int, int], max_det: int
) -> Measurement:
    found = [evaluate.Found(example, detections) for example, detections in pairs]
    boxes = evaluate.evaluate(dataset, found, classes, max_det)
    return Measurement(
        boxes,
        _predictions(dataset, found, classes),
        _ultralytics(found, classes, BOXES),
        warnings=evaluate.other_sizes(found),
        curves={BOXES.name: Curves.of(dataset.names, found, classes)},
        confusion=Confusion.of_boxes(dataset.names, found, classes),
    )


def _measure_shapes(
    dataset: BoxDataset, pairs: Sequence[tuple[Any, Any]], classes: Mapping[int, int], max_det: int
) -> Measurement:
    found = [evaluate.Found(example, detections) for example, detections in pairs]
    shape = dataset.shape
    accuracy = ShapeAccuracy(
        shape.name,
        evaluate.evaluate(dataset, found, classes, max_det, shape),
        evaluate.evaluate(dataset, found, classes, max_det),
    )
    sums = {
        f"{each.name} {name}": figure
        for each in (shape, BOXES)
        for name, figure in _ultralytics(found, classes, each).items()
    }
    return Measurement(
        accuracy,
        _predictions(dataset, found, classes),
        sums,
        f"{ULTRALYTICS_RULES}, {ULTRALYTICS_SHAPES[shape.name]}",
        evaluate.other_sizes(found),
        {each.name: Curves.of(dataset.names, found, classes, each) for each in (BOXES, shape)},
        Confusion.of_boxes(dataset.names, found, classes),
    )


def _measure_rotated(
    dataset: BoxDataset, pairs: Sequence[tuple[Any, Any]], classes: Mapping[int, int], _: int
) -> Measurement:
    found = [evaluate.Found(example, detections) for example, detections in pairs]
    return Measurement(
        rotated.evaluate_rotated(dataset, found, classes),
        _predictions(dataset, found, classes),
        warnings=evaluate.other_sizes(found),
        curves={BOXES.name: Curves.of(dataset.names, found, classes, dataset.shape)},
        confusion=Confusion.of_boxes(dataset.names, found, classes, dataset.shape),
        definition=rotated.DEFINITION,
    )


def _predictions(
    dataset: BoxDataset, found: Sequence[evaluate.Found], classes: Mapping[int, int]
) -> list[dict[str, Any]]:
    category_ids = {model: dataset.category_ids.get(ours, ours) for model, ours in classes.items()}
    return evaluate.predictions(found, category_ids)


def _ultralytics(
    found: Sequence[evaluate.Found], classes: Mapping[int, int], shape: Shape
) -> dict[str, float]:
    figures = mean_average_precision(found, classes, shape)
    return {} if figures is None else dict(zip(("mAP50-95", "mAP50"), figures, strict=True))


def _measure_accuracy(
    dataset: Dataset, pairs: Sequence[tuple[Any, Any]], classes: Mapping[int, int], _: int
) -> Measurement:
    return Measurement(
        accuracy.evaluate(dataset, pairs, classes),
        accuracy.predictions(pairs),
        confusion=Confusion.of_classes(
            dataset.names, [(example.class_id, found.top1.class_id) for example, found in pairs], classes
        ),
    )


METRICS = {
    "map": Metric(load_dataset, class_map, _measure_map),
    "rotated_map": Metric(partial(load_dataset, kind=rotated.RotatedBoxes), class_map, _measure_rotated),
    "mask_map": Metric(partial(load_dataset, kind=Masks), class_map, _measure_shapes),
    "keypoint_map": Metric(partial(load_dataset, kind=Keypoints), class_map, _measure_shapes),
    "accuracy": Metric(load_image_folder, class_map_by_order, _measure_accuracy),
}
