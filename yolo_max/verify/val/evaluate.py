"""Mean average precision on a labelled dataset, by COCO's definition.

https://cocodataset.org/#detection-eval: for each class and each IoU threshold from 0.5 to 0.95, detections
are matched to objects by descending confidence, and precision is averaged over 101 recalls. faster-coco-eval
does the arithmetic; this module converts data to its form and figures from it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import counted
from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.figures import Row
from yolo_max.verify.val.objects import BOXES, Example, Shape


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision, each in [0, 1]; None without such objects.

    Attributes:
        map50_95: Over the IoU thresholds 0.5, 0.55, ..., 0.95.
        map50: At IoU 0.5.
        map75: At IoU 0.75.
        small: As ``map50_95``, of objects up to 32 x 32 pixels.
        medium: Up to 96 x 96 pixels.
        large: Above that.
    """

    map50_95: float | None
    map50: float | None
    map75: float | None
    small: float | None
    medium: float | None
    large: float | None

    def named(self) -> dict[str, float | None]:
        """The figures by display name."""
        return {name.replace("map", "mAP").replace("_", "-"): figure for name, figure in asdict(self).items()}


class Precision(Protocol):
    """Average precision in several figures."""

    def named(self) -> dict[str, float | None]:
        """The figures by display name."""
        ...


P = TypeVar("P", bound=Precision)


@dataclass(frozen=True)
class ClassAccuracy(Generic[P]):
    """The accuracy on one class.

    Attributes:
        class_id: The dataset's id.
        name: The dataset's name.
        images: Number of images with such an object.
        objects: Number of objects without crowds.
        precision: Its average precision.
    """

    class_id: int
    name: str
    images: int
    objects: int
    precision: P


@dataclass(frozen=True)
class Accuracy(Generic[P]):
    """The accuracy on a dataset.

    Attributes:
        images: Number of measured images.
        objects: Number of objects in them without crowds.
        mean: The mean over the classes that have an object.
        classes: Each class that has an object, by id.
    """

    images: int
    objects: int
    mean: P
    classes: tuple[ClassAccuracy[P], ...]
    compared: ClassVar[tuple[str, ...]] = ("mAP50-95", "mAP50")
    judged: ClassVar[tuple[str, ...]] = ("mAP50-95",)

    def rows(self) -> list[Row]:
        """A row for each class."""
        return [
            Row(each.name, each.images, each.objects, each.precision.named(), each.class_id)
            for each in self.classes
        ]

    def total(self) -> Row:
        """The mean over the classes."""
        return Row("all", self.images, self.objects, self.mean.named())

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON types, unrounded."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """The detections in one example.

    Attributes:
        example: The example.
        detections: Detections in pixels of its image, with the shapes that are measured.
    """

    example: Example
    detections: Detections

    def objects(self, shape: Shape) -> NDArray[np.bool_]:
        """Which of the example's objects are to be found, bool [N]."""
        wanted: NDArray[np.bool_] = ~self.example.crowd & shape.counted(self.example)
        return wanted


def predictions(found: Sequence[Found], classes: Mapping[int, int]) -> list[dict[str, Any]]:
    """Detections in COCO's form of results, with the name of each image's file.

    Args:
        found: The detections in each example.
        classes: Category ids by the model's class ids; detections of other classes are left out.
    """
    known = list(classes)
    return [
        {**row, "file_name": example.path.name}
        for example, detections in ((each.example, each.detections) for each in found)
        for row in detections[np.isin(detections.class_id, known)].to_coco(example.image_id, classes)
    ]


def ground_truth(dataset: BoxDataset, found: Sequence[Found], shape: Shape = BOXES) -> dict[str, Any]:
    """The examples' objects in the form of COCO's JSON, with what is measured."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for each in found:
        example, (height, width) = each.example, each.detections.image_size
        images.append(
            {"id": example.image_id, "file_name": example.path.name, "height": height, "width": width}
        )
        rows = zip(
            example.class_id, example.pixels((height, width)), example.area, example.crowd, strict=True
        )
        for index, (class_id, (x1, y1, x2, y2), area, crowd) in enumerate(rows):
            box = [float(side) for side in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": example.image_id,
                    "category_id": int(class_id),
                    "bbox": box,
                    "area": box[2] * box[3] if np.isnan(area) else float(area),
                    "iscrowd": int(crowd),
                    **shape.annotation(example, index, (height, width)),
                }
            )
    categories = [{"id": class_id, "name": name} for class_id, name in dataset.names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def other_sizes(found: Sequence[Found]) -> tuple[str, ...]:
    """A warning if images do not have the sizes that the dataset states, for then its boxes may not fit."""
    other = [
        f"{each.example.path.name}: {_size(each.detections.image_size)}, not {_size(each.example.image_size)}"
        for each in found
        if each.example.image_size not in (None, each.detections.image_size)
    ]
    if not other:
        return ()
    return (
        f"{counted(len(other), 'image')} of another size than the annotations state ({other[0]}); "
        "their boxes may not fit",
    )


def _size(size: tuple[int, int] | None) -> str:
    assert size is not None
    return f"{size[1]} x {size[0]}"


def require_evaluator() -> None:
    """Checks that the evaluator is installed; quick, so that it can come first.

    Raises:
        EngineError: faster-coco-eval is not installed.
    """
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise EngineError(
            "measuring accuracy needs faster-coco-eval; install it with `pip install faster-coco-eval`."
        )


def evaluate(
    dataset: BoxDataset,
    found: Sequence[Found],
    classes: Mapping[int, int],
    max_det: int = PredictOptions.max_det,
    shape: Shape = BOXES,
) -> Accuracy[AveragePrecision]:
    """Measures detections against the objects of a dataset.

    Args:
        dataset: The dataset.
        found: The detections in each of its examples that counts.
        classes: From `yolo_max.verify.val.classes.class_map`.
        max_det: How many detections per class and image count.
        shape: What of them is measured.

    Raises:
        EngineError: faster-coco-eval is not installed.
    """
    require_evaluator()
    from faster_coco_eval import COCO, COCOeval_faster

    # The evaluator needs integers, and one id per image.
    found = [
        replace(each, example=replace(each.example, image_id=number)) for number, each in enumerate(found, 1)
    ]
    coco = COCO(ground_truth(dataset, found, shape))
    rows = coco.loadRes(predictions(found, classes))
    evaluator = COCOeval_faster(coco, rows, shape.iou_type, print_function=lambda *_: None)
    evaluator.params.maxDets = [1, 10, max_det]
    shape.prepare(evaluator.params)
    evaluator.evaluate()
    evaluator.accumulate()
    # [IoU threshold, recall, class, size]; -1 where there is no object.
    curves = evaluator.eval["precision"][..., -1]
    curves = np.where(curves < 0, np.nan, curves)
    wanted = [each.objects(shape) for each in found]
    each_class = []
    for index, class_id in enumerate(sorted(dataset.names)):
        counts = [
            np.count_nonzero((each.example.class_id == class_id) & mask)
            for each, mask in zip(found, wanted, strict=True)
        ]
        if objects := int(sum(counts)):
            figures = _average_precision(curves[:, :, index, :])
            name = dataset.names[class_id]
            each_class.append(ClassAccuracy(class_id, name, int(np.count_nonzero(counts)), objects, figures))
    return Accuracy(
        len(found),
        sum(each.objects for each in each_class),
        _mean([each.precision for each in each_class]),
        tuple(each_class),
    )


def _average_precision(curves: Any) -> AveragePrecision:
    """Average precision from the precisions [IoU threshold, recall, size] of one class."""
    by_threshold = curves[:, :, 0].mean(axis=1)
    figures = [by_threshold.mean(), by_threshold[0], by_threshold[5], *curves[:, :, 1:].mean(axis=(0, 1))]
    return AveragePrecision(*(None if np.isnan(figure) else float(figure) for figure in figures))


def _mean(figures: Sequence[AveragePrecision]) -> AveragePrecision:
    """The mean of each figure over the classes that have it."""
    columns = [[asdict(each)[name] for each in figures] for name in AveragePrecision.__dataclass_fields__]
    known = [[figure for figure in column if figure is not None] for column in columns]
    return AveragePrecision(*(sum(column) / len(column) if column else None for column in known))
