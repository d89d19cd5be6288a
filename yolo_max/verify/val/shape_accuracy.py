"""The accuracy of shapes, and of the boxes around them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from yolo_max.verify.val.evaluate import Accuracy, AveragePrecision
from yolo_max.verify.val.figures import Row
from yolo_max.verify.val.objects import BOXES

FIRST = ("mAP50-95", "mAP50")
"""The figures that come first, of shapes and boxes."""


@dataclass(frozen=True)
class ShapeAccuracy:
    """The accuracy of shapes and boxes on a dataset.

    Attributes:
        name: What the shapes are: "keypoint".
        shape: The accuracy of these.
        box: That of the boxes.
    """

    name: str
    shape: Accuracy[AveragePrecision]
    box: Accuracy[AveragePrecision]

    @property
    def images(self) -> int:
        """Number of measured images."""
        return self.box.images

    @property
    def judged(self) -> tuple[str, ...]:
        """Both mAP50-95."""
        return tuple(f"{name} {FIRST[0]}" for name in (self.name, BOXES.name))

    @property
    def compared(self) -> tuple[str, ...]:
        """Both mAP50-95, and mAP50."""
        return tuple(f"{name} {figure}" for name in (self.name, BOXES.name) for figure in FIRST)

    def rows(self) -> list[Row]:
        """A row for each class that has a box."""
        shapes = {each.class_id: each.precision for each in self.shape.classes}
        return [
            Row(
                *(each.name, each.images, each.objects),
                self._named(shapes.get(each.class_id), each.precision),
                each.class_id,
            )
            for each in self.box.classes
        ]

    def total(self) -> Row:
        """The mean over the classes."""
        return Row("all", self.images, self.box.objects, self._named(self.shape.mean, self.box.mean))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON types, unrounded."""
        return {self.name: asdict(self.shape), BOXES.name: asdict(self.box)}

    def _named(self, shape: AveragePrecision | None, box: AveragePrecision) -> dict[str, float | None]:
        """The figures of both by display name, `compared` first."""
        figures = {
            f"{name} {figure}": value
            for name, each in ((self.name, shape), (BOXES.name, box))
            for figure, value in (each or AveragePrecision(*[None] * 6)).named().items()
        }
        return {name: figures[name] for name in self.compared} | figures
