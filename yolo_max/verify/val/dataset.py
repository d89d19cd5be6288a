"""Labelled images, whatever file or folder describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import UsageError


@dataclass(frozen=True, eq=False)
class Example:
    """One image and its objects, as a dataset for detection has it.

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
    """

    path: Path
    image_id: int | str
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    normalised: bool
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    image_size: tuple[int, int] | None = None

    def pixels(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """The boxes, float64 [N, 4], in pixels of an image of ``image_size`` (height, width)."""
        if not self.normalised:
            return self.xyxy
        height, width = image_size
        boxes: NDArray[np.float64] = self.xyxy * np.array([width, height, width, height])
        return boxes


@dataclass(frozen=True)
class Dataset:
    """Labelled images, each with the class ids of what is in it.

    What cannot be used is never silently dropped; the reason is kept for the report.

    Attributes:
        path: The file or folder that describes them.
        names: Class names by the dataset's own class ids.
        examples: The images that can be used, each with its ``path``, and a ``class_id`` of one or several.
        problems: One sentence per image or object that cannot.
        unlabelled: Number of images without labels, which count as background.
    """

    path: Path
    names: Mapping[int, str]
    examples: tuple[Any, ...]
    problems: tuple[str, ...] = ()
    unlabelled: int = 0

    @property
    def labelled(self) -> set[int]:
        """The class ids that have an object."""
        return {int(i) for each in self.examples for i in np.atleast_1d(each.class_id)}

    def as_one_class(self) -> Self:
        """The dataset with every object in class 0.

        Raises:
            UsageError: The class is all that its labels tell.
        """
        raise UsageError("a classifier cannot be measured on one class; leave out --single-cls.")


@dataclass(frozen=True)
class BoxDataset(Dataset):
    """Images whose objects have boxes: each is an `Example`.

    Attributes:
        category_ids: Class ids in saved predictions, by the dataset's; the same if absent.
    """

    category_ids: Mapping[int, int] = field(default_factory=dict)

    def as_one_class(self) -> Self:
        """The dataset with every object in class 0, as with Ultralytics' ``single_cls``."""
        examples = (replace(each, class_id=np.zeros_like(each.class_id)) for each in self.examples)
        return replace(self, names={0: "item"}, examples=tuple(examples))
