"""Accuracy of classification: how often the right class comes first, or among the first five."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.classify.classification import Classification
from yolo_max.verify.val.dataset import Dataset
from yolo_max.verify.val.figures import Row
from yolo_max.verify.val.image_folder import ClassExample

Pairs = Sequence[tuple[ClassExample, Classification]]


@dataclass(frozen=True)
class ClassTopAccuracy:
    """How well one class is recognised.

    Attributes:
        class_id: The dataset's id.
        name: The dataset's name.
        images: Number of its images.
        top1: Share of them for which it comes first, in [0, 1].
        top5: Share for which it is among the first five.
    """

    class_id: int
    name: str
    images: int
    top1: float
    top5: float


@dataclass(frozen=True)
class TopAccuracy:
    """How well the classes of a dataset are recognised.

    Attributes:
        images: Number of measured images.
        top1: Share of them whose class comes first, in [0, 1].
        top5: Share of them whose class is among the first five.
        classes: Each class that has an image, by id.
    """

    images: int
    top1: float
    top5: float
    classes: tuple[ClassTopAccuracy, ...]
    compared: ClassVar[tuple[str, ...]] = ("top-1", "top-5")
    judged: ClassVar[tuple[str, ...]] = ("top-1",)

    def rows(self) -> list[Row]:
        """One row per class."""
        return [
            Row(each.name, each.images, None, {"top-1": each.top1, "top-5": each.top5}, each.class_id)
            for each in self.classes
        ]

    def total(self) -> Row:
        """All images."""
        return Row("all", self.images, None, {"top-1": self.top1, "top-5": self.top5})

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON types, unrounded."""
        return asdict(self)


def evaluate(dataset: Dataset, pairs: Pairs, classes: Mapping[int, int]) -> TopAccuracy:
    """Measures classifications.

    Args:
        dataset: The dataset.
        pairs: Each example that counts, with its prediction.
        classes: The dataset's class ids by the model's.
    """
    hits: dict[int, list[tuple[bool, bool]]] = {}
    for example, found in pairs:
        top = [classes.get(each.class_id) for each in found.top5]
        hits.setdefault(example.class_id, []).append((example.class_id == top[0], example.class_id in top))
    each_class = [
        ClassTopAccuracy(class_id, dataset.names[class_id], len(hits[class_id]), *_shares(hits[class_id]))
        for class_id in sorted(hits)
    ]
    every = [hit for rows in hits.values() for hit in rows]
    return TopAccuracy(len(every), *_shares(every), tuple(each_class))


def _shares(hits: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    first, among = zip(*hits, strict=True)
    return sum(first) / len(hits), sum(among) / len(hits)


def predictions(pairs: Pairs) -> list[dict[str, Any]]:
    """The predicted class of each image, one row per image."""
    return [
        {
            "file_name": str(example.path),
            "class_id": found.top1.class_id,
            "class_name": found.top1.class_name,
            "score": shortest_float(found.probabilities[found.top1.class_id]),
        }
        for example, found in pairs
    ]
