"""The objects of a labelled image, and what of them is measured: their boxes, or a task's own shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.detect.matching import box_iou
from yolo_max.verify.val.labels import Labels, keypoint_shape, read_labels
from yolo_max.weights.meta import ModelMeta


@dataclass(frozen=True, eq=False)
class Example:
    """One image and its objects, as a dataset has it.

    Attributes:
        path: The image.
        image_id: Its id in saved predictions: COCO's own, or the name of a YAML's image without suffix, as an
            integer if it is one.
        class_id: int64 [N], the dataset's own class ids.
        xyxy: float64 [N, 4] left, top, right, bottom: in [0, 1] of the image's width and height if
            ``normalised``, else in pixels of the image as displayed.
        normalised: See ``xyxy``.
        area: float64 [N], square pixels of each object; NaN stands for the area of its box.
        crowd: bool [N]: a region that holds many objects, in which detections are neither right nor wrong.
        image_size: (height, width) in pixels that the dataset states, if it does.
        shapes: What its `Shape` reads of each object, in the units of ``xyxy``; nothing for boxes.
    """

    path: Path
    image_id: int | str
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    normalised: bool
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    image_size: tuple[int, int] | None = None
    shapes: tuple[Any, ...] = ()

    def pixels(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """The boxes, float64 [N, 4], in pixels of an image of ``image_size`` (height, width)."""
        boxes: NDArray[np.float64] = self.xyxy * np.tile(self.scale(image_size), 2)
        return boxes

    def scale(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """What (x, y) is multiplied with to be in pixels of an image of ``image_size``."""
        height, width = image_size
        return np.array([width, height] if self.normalised else [1, 1], np.float64)


class Shape(Protocol):
    """What of an object is measured: how datasets tell it, and how much two of them have in common.

    Attributes:
        name: "box".
        iou_type: COCO's name for its evaluation.
    """

    name: ClassVar[str]
    iou_type: ClassVar[str]

    @classmethod
    def of_yaml(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """As a dataset's YAML describes it.

        Raises:
            SourceError: It does not.
        """
        ...

    @classmethod
    def of_json(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """As COCO's annotations describe it.

        Raises:
            SourceError: They do not.
        """
        ...

    def require(self, meta: ModelMeta) -> None:
        """Checks that a model's predictions can be measured.

        Raises:
            UsageError: They cannot.
        """
        ...

    def read(self, path: Path, names: Mapping[int, str]) -> Labels:
        """Reads a YOLO label file; as `yolo_max.verify.val.labels.read_labels`."""
        ...

    def of_annotation(self, annotation: Mapping[str, Any]) -> Any:
        """The shape of one of COCO's annotations.

        Raises:
            ValueError, KeyError, TypeError, OverflowError: It has no usable one.
        """
        ...

    def counted(self, example: Example) -> NDArray[np.bool_]:
        """Which objects count as such, bool [N], besides crowds."""
        ...

    def annotation(self, example: Example, index: int, image_size: tuple[int, int]) -> dict[str, Any]:
        """An object's further entries as COCO's annotation, in pixels of an image of that size."""
        ...

    def overlap(self, example: Example, prediction: Any) -> NDArray[np.float64]:
        """How much each detection has in common with each object: float64 [D, N] in [0, 1]."""
        ...

    def prepare(self, params: Any) -> None:
        """Changes the parameters of COCO's evaluator as the shape needs it."""
        ...


@dataclass(frozen=True)
class Boxes:
    """The box of each object, by intersection over union: a `Shape`.

    Attributes:
        keypoint_numbers: How many numbers of keypoints may follow a box in a label file.
    """

    keypoint_numbers: int = 0
    name: ClassVar[str] = "box"
    iou_type: ClassVar[str] = "bbox"

    @classmethod
    def of_yaml(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """The labels may be those of poses."""
        keypoints, dimensions = keypoint_shape(path, data) or (0, 0)
        return cls(keypoints * dimensions)

    @classmethod
    def of_json(cls, path: Path, data: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """All have boxes."""
        return cls()

    def require(self, meta: ModelMeta) -> None:
        """Any model has boxes."""

    def read(self, path: Path, names: Mapping[int, str]) -> Labels:
        """Reads boxes, and the boxes around polygons."""
        return read_labels(path, names, self.keypoint_numbers)._replace(shapes=())

    def of_annotation(self, annotation: Mapping[str, Any]) -> Any:
        """Its box is read anyway."""

    def counted(self, example: Example) -> NDArray[np.bool_]:
        """All."""
        return np.ones(len(example.class_id), bool)

    def annotation(self, example: Example, index: int, image_size: tuple[int, int]) -> dict[str, Any]:  # noqa: ARG002
        """None."""
        return {}

    def overlap(self, example: Example, prediction: Any) -> NDArray[np.float64]:
        """Intersection over union."""
        return box_iou(prediction.xyxy, example.pixels(prediction.image_size))

    def prepare(self, params: Any) -> None:
        """Nothing."""


BOXES = Boxes()
