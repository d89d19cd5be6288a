"""What is found in overlapping tiles of an image, as one prediction for the image.

An object that lies in several tiles is found in each of them, whole or cut off. As in SAHI
(https://github.com/obss/sahi), the most confident box of a class takes all others that it has enough in
common with, and so on with those that are left. What they have in common is a part of the smaller one's area
(IoS): a piece of an object is all in the whole one, however small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

NMS, NMM = "nms", "nmm"
"""Non-maximum suppression keeps the most confident box; non-maximum merging makes one of all."""


class Objects(Protocol):
    """A prediction whose objects can be merged: `yolo_max.tasks.detect.detections.Detections`."""

    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    per_object: ClassVar[tuple[str, ...]]

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> Any: ...

    def in_larger(self, left: int, top: int, image_size: tuple[int, int]) -> Self:
        """The same objects in an image that this one is cut out of."""
        ...

    def overlap(self, index: int, others: NDArray[np.intp]) -> NDArray[np.float64]:
        """What one object has in common with others: float64 [M], a part of the smaller one's area."""
        ...

    def united(self, groups: Sequence[NDArray[np.intp]]) -> Self:
        """One object of each group."""
        ...


class Part(NamedTuple):
    """What was found in a tile.

    Attributes:
        found: In pixels of the tile.
        left: The column of the image in which the tile begins.
        top: The row.
    """

    found: Any
    left: int
    top: int


@dataclass(frozen=True)
class Merging:
    """How what is found in tiles is merged.

    Attributes:
        rule: `NMS` or `NMM`.
        threshold: The least IoS of two boxes that are one object, in [0, 1].
        agnostic: Whether boxes of different classes can be one object.
        max_det: How many objects are left of an image at most, the most confident.
    """

    rule: str
    threshold: float
    agnostic: bool = False
    max_det: int | None = None

    def __call__(self, parts: Sequence[Part], image_size: tuple[int, int]) -> Any:
        """Merges what was found in the tiles of an image.

        Args:
            parts: One for each tile, at least one.
            image_size: (height, width) of the image.

        Returns:
            A prediction of the same type, in pixels of the image, most confident first; ties in the order of
            the tiles.
        """
        placed = [found.in_larger(left, top, image_size) for found, left, top in parts]
        # One without objects has no masks, so it says nothing of their size.
        found = joined([each for each in placed if len(each)] or placed[:1])
        groups = self.groups(found)[: self.max_det]
        if self.rule == NMM:
            return found.united(groups)
        return found[np.array([group[0] for group in groups], np.intp)]

    def groups(self, found: Objects) -> list[NDArray[np.intp]]:
        """Which boxes are one object.

        Args:
            found: Most confident first.

        Returns:
            Indices, ascending in each group; groups by their first.
        """
        kind = np.zeros_like(found.class_id) if self.agnostic else found.class_id
        groups = []
        for each in np.unique(kind):
            left = np.flatnonzero(kind == each)
            while len(left):
                taken = found.overlap(int(left[0]), left[1:]) >= max(self.threshold, LEAST)
                groups.append(np.concatenate([left[:1], left[1:][taken]]))
                left = left[1:][~taken]
        return sorted(groups, key=lambda group: int(group[0]))


LEAST = 1e-9
"""Boxes that have nothing in common are two objects, whatever the threshold."""


def joined(found: Sequence[Any]) -> Any:
    """All the objects of predictions for one image, most confident first."""
    first = found[0]
    confidence = np.concatenate([each.confidence for each in found])
    order = np.argsort(-confidence, kind="stable")
    arrays = {
        name: np.concatenate([getattr(each, name) for each in found])[order] for name in first.per_object
    }
    return replace(first, **arrays)
