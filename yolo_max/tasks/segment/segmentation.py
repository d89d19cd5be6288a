"""Segmentation: the result, detections that have a mask each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.parse import MAX_IMGSZ
from yolo_max.support.text import counted
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.marks import Marks, MaskMark
from yolo_max.tasks.records import read_size
from yolo_max.tasks.rle import Size, boundaries_of, decode, encode, union, window_of
from yolo_max.tasks.segment.masks import STRIP, Axis, content_of, interpolate
from yolo_max.tasks.segment.polygons import polygon_of


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation(Detections):
    """The objects found in one image with their masks, most confident first.

    Masks are kept as run lengths, so hundreds of them take little memory on an image of any size. They have
    the size of the network's input, letterbox and all, or with ``retina_masks`` that of the image.

    Attributes:
        xyxy: As in `Detections`, as are ``confidence``, ``class_id``, ``names`` and ``image_size``.
        rle: object [N] of str, COCO's compressed counts of each mask.
        mask_size: (height, width) of the masks in pixels; that of the image if there are none.
        coarse_rle: As ``rle``, of masks of the prototypes' size, by which ``yolo val`` measures; "" unless it
            was asked for.
        coarse_size: (height, width) of those; (0, 0) if there are none.

    Raises:
        ValueError: A shape, dtype, value or the order is not as described.
    """

    rle: NDArray[np.object_]
    mask_size: Size
    coarse_rle: NDArray[np.object_]
    coarse_size: Size = (0, 0)
    per_object: ClassVar[tuple[str, ...]] = (*Detections.per_object, "rle", "coarse_rle")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self):
            object.__setattr__(self, "mask_size", self.image_size)
            object.__setattr__(self, "coarse_size", (0, 0))
        if self.mask_size != self.image_size and max(self.mask_size) > MAX_IMGSZ:
            raise ValueError(f"Masks of {self.mask_size} pixels belong to no network.")
        for counts in self.rle:
            decode(counts, self.mask_size)
        for counts in filter(None, self.coarse_rle):
            decode(counts, self.coarse_size)

    def _arrays(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        masks = (np.object_, (len(self.xyxy),))
        return {**super()._arrays(), "rle": masks, "coarse_rle": masks}

    @classmethod
    def empty(cls, names: Mapping[int, str], image_size: Size) -> Self:
        """No objects in an image of ``image_size`` (height, width)."""
        return cls(
            xyxy=np.empty((0, 4), np.float32),
            confidence=np.empty(0, np.float32),
            class_id=np.empty(0, np.int32),
            names=names,
            image_size=image_size,
            rle=np.empty(0, object),
            mask_size=image_size,
            coarse_rle=np.empty(0, object),
        )

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The masks in pixels of the image, bool [N, H, W]; `mask` gives one at a time."""
        masks = np.zeros((len(self), *self.image_size), bool)
        for i, mask in enumerate(masks):
            self._render(i, mask)
        return masks

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The mask of one object in pixels of the image, bool [H, W].

        One of the network's size is stretched, as where Ultralytics draws it.

        Raises:
            IndexError: There are fewer objects.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no mask {index}: the image has {counted(len(self), 'object')}.")
        mask = np.zeros(self.image_size, bool)
        self._render(index, mask)
        return mask

    def _render(self, index: int, out: NDArray[np.bool_]) -> None:
        window, top, left = window_of(decode(self.rle[index], self.mask_size), self.mask_size)
        if self.mask_size == self.image_size:
            out[top : top + window.shape[0], left : left + window.shape[1]] = window
            return
        content = content_of(self.mask_size, self.image_size)
        whole = np.zeros(self.mask_size, bool)
        whole[top : top + window.shape[0], left : left + window.shape[1]] = window
        whole = whole[content.top : content.top + content.height, content.left : content.left + content.width]
        height, width = self.image_size
        rows = Axis.between(content.height, height, 0, height)
        columns = Axis.between(content.width, width, 0, width)
        # Outside of these nothing is covered.
        y = rows.near(top - content.top, top - content.top + window.shape[0])
        x = columns.near(left - content.left, left - content.left + window.shape[1])
        if y.start >= y.stop or x.start >= x.stop:
            return
        columns = columns.part(x.start, x.stop)
        (x1, x2), columns = columns.reach, columns.behind(columns.reach[0])
        step = max(1, STRIP // (x.stop - x.start))
        for start in range(y.start, y.stop, step):
            stop = min(start + step, y.stop)
            strip = rows.part(start, stop)
            y1, y2 = strip.reach
            values = whole[y1:y2, x1:x2].astype(np.float32)
            out[start:stop, x] = interpolate(values, strip.behind(y1), columns) > 0.5

    def in_larger(self, left: int, top: int, image_size: Size) -> Self:
        """As of detections; the masks must have the size of their image (``retina_masks``).

        Raises:
            ValueError: They have another.
        """
        if self.mask_size != self.image_size:
            raise ValueError("Only masks of the size of their image can be placed in a larger one.")
        masks = np.empty(len(self), object)
        for i, counts in enumerate(self.rle):
            window, y, x = window_of(decode(counts, self.mask_size), self.mask_size)
            masks[i] = encode(boundaries_of([window], top + y, left + x, image_size), image_size)
        nothing = np.full(len(self), "", object)
        placed = super().in_larger(left, top, image_size)
        return replace(placed, rle=masks, mask_size=image_size, coarse_rle=nothing)

    def united(self, groups: Sequence[NDArray[np.intp]]) -> Self:
        """As of detections; a mask has the pixels of all."""
        masks = np.empty(len(groups), object)
        for i, group in enumerate(groups):
            parts = [decode(self.rle[j], self.mask_size) for j in group]
            masks[i] = self.rle[group[0]] if len(parts) == 1 else encode(union(parts), self.mask_size)
        return replace(super().united(groups), rle=masks)

    @cached_property
    def polygons(self) -> tuple[NDArray[np.float32], ...]:
        """float32 [K, 2] (x, y) in pixels of the image, the outline of each mask; Ultralytics' ``masks.xy``.

        Holes are not outlined; the parts of a mask are joined by lines.
        """
        content = content_of(self.mask_size, self.image_size)
        height, width = self.image_size
        shift = np.array([content.left, content.top], np.float32)
        gain = np.array([content.width / width, content.height / height], np.float32)
        polygons = []
        for counts in self.rle:
            outline = polygon_of(decode(counts, self.mask_size), self.mask_size)
            points = (outline.astype(np.float32) - shift) / gain
            polygons.append(np.clip(points, 0, np.array([width, height], np.float32)))
        return tuple(polygons)

    def _shape_summary(self, index: int, unit: Size, decimals: int) -> dict[str, Any]:
        height, width = unit
        x, y = self.polygons[index].T
        segments = {"x": x / width, "y": y / height}
        rounded = {name: each.astype(float).round(decimals).tolist() for name, each in segments.items()}
        return {"segments": rounded}

    def _shape_blank(self) -> dict[str, Any]:
        return {"segments": {"x": [0.0], "y": [0.0]}}

    def _shape_coco(self, index: int) -> dict[str, Any]:
        counts = self.rle[index]
        if self.mask_size != self.image_size:
            counts = encode(boundaries_of([self.mask(index)], 0, 0, self.image_size), self.image_size)
        return {"segmentation": {"size": list(self.image_size), "counts": counts}}

    def _shape_supervision(self) -> dict[str, Any]:
        return {"mask": self.masks}

    def _entries(self) -> list[dict[str, Any]]:
        """Those of detections with each mask.

        That is "segmentation", COCO's ``{"size": [height, width], "counts"}``, and "polygon",
        ``[[x, y], ...]`` in pixels of the image.
        """
        entries = super()._entries()
        for entry, counts, polygon, coarse in zip(
            entries, self.rle, self.polygons, self.coarse_rle, strict=True
        ):
            entry["segmentation"] = {"size": list(self.mask_size), "counts": counts}
            entry["polygon"] = polygon.astype(np.float64).round(2).tolist()
            if coarse:
                entry["coarse_segmentation"] = {"size": list(self.coarse_size), "counts": coarse}
        return entries

    @classmethod
    def _columns(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        boxes = record["boxes"]
        masks, size = _masks([box["segmentation"] for box in boxes])
        coarse, coarse_size = np.full(len(boxes), "", object), (0, 0)
        if any("coarse_segmentation" in box for box in boxes):
            coarse, coarse_size = _masks([box["coarse_segmentation"] for box in boxes])
        return {
            **super()._columns(record),
            "rle": masks,
            "mask_size": size,
            "coarse_rle": coarse,
            "coarse_size": coarse_size,
        }

    def marks(self) -> Marks:
        """One box and one mask per object."""
        content = content_of(self.mask_size, self.image_size)
        height, width = self.image_size
        x, y = width / content.width, height / content.height
        left, top = -content.left * x, -content.top * y
        place = (left, top, left + self.mask_size[1] * x, top + self.mask_size[0] * y)
        return Marks(
            boxes=super().marks().boxes,
            masks=tuple(MaskMark(counts, self.mask_size, place) for counts in self.rle),
        )

    def labels(self, *, confidence: bool = False) -> str:
        """The objects in YOLO's segmentation format, as written by Ultralytics' ``save_txt``.

        Args:
            confidence: Whether to end each line with it (``save_conf``).

        Returns:
            One line ``class x y x y ... [confidence] [track_id]`` per mask whose polygon has three points
            or more, in fractions of the image.
        """
        height, width = self.image_size
        lines = []
        for class_id, polygon, *last in zip(
            self.class_id, self.polygons, *self._last_columns(confidence), strict=True
        ):
            if len(polygon) >= 3:
                fractions = polygon / np.array([width, height], np.float32)
                row = [class_id, *fractions.ravel(), *last]
                lines.append(" ".join(f"{value:g}" for value in row) + "\n")
        return "".join(lines)


def _masks(entries: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.object_], Size]:
    """The counts of masks and their common size, from the entries of a record."""
    masks = np.empty(len(entries), object)
    masks[:] = [entry["counts"] for entry in entries]
    sizes = {read_size(entry["size"]) for entry in entries} or {(0, 0)}
    if len(sizes) > 1:
        raise ValueError("The record has masks of several sizes.")
    if not all(isinstance(each, str) for each in masks):
        raise ValueError("The record has a mask whose counts are not text.")
    return masks, sizes.pop()
