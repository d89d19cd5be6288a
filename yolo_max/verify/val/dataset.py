"""Labelled images, whatever file or folder describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from yolo_max.support.errors import UsageError
from yolo_max.verify.val.objects import BOXES, Shape
from yolo_max.weights.meta import ModelMeta


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
        folders: Those whose every image is taken; a COCO json names its images one by one.
    """

    path: Path
    names: Mapping[int, str]
    examples: tuple[Any, ...]
    problems: tuple[str, ...] = ()
    unlabelled: int = 0
    folders: tuple[Path, ...] = field(default=(), kw_only=True)

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

    def require(self, meta: ModelMeta) -> None:
        """Checks that a model can be measured on it.

        Raises:
            UsageError: It cannot.
        """


@dataclass(frozen=True)
class BoxDataset(Dataset):
    """Images whose objects have boxes: each is a `yolo_max.verify.val.objects.Example`.

    Attributes:
        category_ids: Class ids in saved predictions, by the dataset's; the same if absent.
        shape: What of the objects is measured besides boxes; or only these.
    """

    category_ids: Mapping[int, int] = field(default_factory=dict)
    shape: Shape = BOXES

    def as_one_class(self) -> Self:
        """The dataset with every object in class 0, as with Ultralytics' ``single_cls``."""
        examples = (replace(each, class_id=np.zeros_like(each.class_id)) for each in self.examples)
        return replace(self, names={0: "item"}, examples=tuple(examples))

    def require(self, meta: ModelMeta) -> None:
        """The model's predictions must have the shapes of the labels."""
        self.shape.require(meta)
