"""The masks of objects: labels as polygons or run lengths, and how much two masks have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.rle import Size, boundaries_of, decode, encode, window_of
from yolo_max.tasks.segment.masks import STRIDE, content_of
from yolo_max.verify.val.coordinates import FARTHEST, polygon
from yolo_max.verify.val.labels import Labels, read_labels
from yolo_max.verify.val.objects import Example
from yolo_max.weights.meta import ModelMeta

MAX_PIXELS = 2**28
"""The most pixels of a mask in a dataset; no image that is read has more."""
RESAMPLED = 1000
"""How many points Ultralytics makes of a polygon before it draws it."""
BLOCK = 2**24
"""How many pixels of masks are compared at once."""

Polygons = tuple[NDArray[np.float64], ...]
"""The parts of an object, float64 [K, 2] (x, y) each."""


@dataclass(frozen=True)
class RunLengths:
    """A mask as COCO's run lengths.

    Attributes:
        counts: COCO's compressed counts.
        size: (height, width) in pixels.
    """

    counts: str
    size: Size

    def dense(self) -> NDArray[np.uint8]:
        """The mask, uint8 [height, width], 0 or 1."""
        mask = np.zeros(self.size, np.uint8)
        window, top, left = window_of(decode(self.counts, self.size), self.size)
        mask[top : top + window.shape[0], left : left + window.shape[1]] = window
        return mask


@dataclass(frozen=True)
class Masks:
    """The mask of each object, by intersection over union: a `yolo_max.verify.val.objects.Shape`."""

    name: ClassVar[str] = "mask"
    iou_type: ClassVar[str] = "segm"

    @classmethod
    def of_yaml(cls, path: Path, data: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """There is nothing to know."""
        return cls()

    @classmethod
    def of_json(cls, path: Path, data: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """There is nothing to know."""
        return cls()

    def require(self, meta: ModelMeta) -> None:
        """Any mask can be measured."""

    def read(self, path: Path, names: Mapping[int, str]) -> Labels:
        """Reads polygons.

        Raises:
            ValueError: A line is no polygon, but a box, or cannot be used.
            OSError: The file cannot be read.
        """
        labels = read_labels(path, names)
        if any(len(numbers) == 4 for numbers in labels.shapes):
            raise ValueError("has boxes, but masks can only be measured by polygons")
        return labels._replace(shapes=tuple((_points(numbers),) for numbers in labels.shapes))

    def of_annotation(self, annotation: Mapping[str, Any]) -> Polygons | RunLengths:
        """Polygons, or run lengths, compressed or not."""
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            if not segmentation:
                raise ValueError("segmentation has no part")
            return tuple(map(polygon, segmentation))
        height, width = (int(side) for side in segmentation["size"])
        if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
            raise ValueError(f"segmentation is of {height} x {width} pixels")
        counts = segmentation["counts"]
        if isinstance(counts, list):
            ends = np.cumsum([int(count) for count in counts], dtype=np.int64)
            if not len(ends) or ends[-1] != height * width:
                raise ValueError(f"segmentation's counts do not make up {height} x {width} pixels")
            counts = encode(ends[: len(ends) // 2 * 2], (height, width))
        if not isinstance(counts, str):
            raise TypeError("segmentation's counts are not text")
        decode(counts, (height, width))
        return RunLengths(counts, (height, width))

    def counted(self, example: Example) -> NDArray[np.bool_]:
        """All."""
        return np.ones(len(example.class_id), bool)

    def annotation(self, example: Example, index: int, image_size: Size) -> dict[str, Any]:
        """The polygons or run lengths, and their area if the dataset does not tell it."""
        shape = example.shapes[index]
        if isinstance(shape, RunLengths):
            mask = _stretched(shape.dense(), image_size)
            counts = encode(boundaries_of([mask.astype(bool)], 0, 0, image_size), image_size)
            segmentation: Any = {"size": list(image_size), "counts": counts}
            area = float(mask.sum())
        else:
            parts = [part * example.scale(image_size) for part in shape]
            segmentation = [part.ravel().tolist() for part in parts]
            area = sum(_area(part) for part in parts)
        known = not np.isnan(example.area[index])
        return {"segmentation": segmentation} | ({} if known else {"area": area})

    def overlap(self, example: Example, prediction: Any) -> NDArray[np.float64]:
        """Intersection over union as ``yolo val`` measures it, of masks of the prototypes' size."""
        found, size = prediction.coarse_rle, prediction.coarse_size
        iou = np.zeros((len(found), len(example.class_id)))
        if not iou.size:
            return iou
        objects = coarse_objects(example, prediction.image_size, size).reshape(iou.shape[1], -1)
        objects = objects.astype(np.float32)
        step = max(1, BLOCK // objects.shape[1])
        for start in range(0, len(found), step):
            masks = [RunLengths(counts, size).dense().ravel() for counts in found[start : start + step]]
            block = np.array(masks, np.float32)
            shared = block @ objects.T
            union = block.sum(axis=1)[:, None] + objects.sum(axis=1) - shared
            iou[start : start + step] = shared / (union + np.float32(1e-7))
        return iou

    def prepare(self, params: Any) -> None:
        """Nothing."""


def coarse_objects(example: Example, image_size: Size, size: Size) -> NDArray[np.bool_]:
    """The masks of objects as ``yolo val`` makes them from polygons (``overlap_mask``, ``mask_ratio`` 4).

    Each is drawn on the canvas and reduced. Where several overlap, a pixel belongs to the smallest.

    Args:
        example: The objects; crowds have no pixel.
        image_size: (height, width) of the image.
        size: (height, width) of the masks, a quarter of the canvas.

    Returns:
        bool [N, *size].
    """
    canvas = STRIDE * size[0], STRIDE * size[1]
    content = content_of(canvas, image_size)
    left, top, right, bottom = (
        content.left,
        content.top,
        content.left + content.width,
        content.top + content.height,
    )
    # Pixels of the canvas per unit of the labels.
    scale = example.scale(image_size) * np.array([content.width, content.height]) / image_size[::-1]
    longest = max(
        (len(part) for shape in example.shapes if isinstance(shape, tuple) for part in shape), default=0
    )
    masks = np.zeros((len(example.shapes), *size), bool)
    for i, shape in enumerate(example.shapes):
        drawn = np.zeros(canvas, np.uint8)
        if isinstance(shape, RunLengths):
            drawn[top:bottom, left:right] = _stretched(shape.dense(), (content.height, content.width))
        else:
            for part in shape:
                points = _resampled(part, max(RESAMPLED, longest + 1)) * scale + (left, top)
                points = points.clip(-FARTHEST, FARTHEST).astype(np.float32)
                cv2.fillPoly(drawn, [points.astype(np.int32)], (1,))
        masks[i] = cv2.resize(drawn, size[::-1])
    masks[example.crowd] = False
    owner = np.full(size, -1)
    for i in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        owner[masks[i]] = i
    visible: NDArray[np.bool_] = owner == np.arange(len(masks))[:, None, None]
    return visible


def _points(numbers: Sequence[float]) -> NDArray[np.float64]:
    return np.array(numbers, np.float64).reshape(-1, 2)


def _area(points: NDArray[np.float64]) -> float:
    """Of a polygon (Gauss's formula)."""
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _stretched(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    stretched: NDArray[np.uint8] = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    return stretched


def _resampled(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """A polygon with points added evenly between its own, which remain, as Ultralytics resamples it."""
    if len(points) == count:
        return points
    closed = np.concatenate([points, points[:1]])
    own = np.arange(len(closed), dtype=np.float64)
    if len(closed) < count:
        places = np.sort(np.concatenate([own, np.linspace(0, own[-1], count - len(closed))]))
    else:
        places = np.linspace(0, own[-1], count)
    return np.column_stack([np.interp(places, own, closed[:, axis]) for axis in (0, 1)])
