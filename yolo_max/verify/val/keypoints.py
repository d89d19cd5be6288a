"""Keypoints, measured by object keypoint similarity (OKS).

https://cocodataset.org/#keypoints-eval: of each labelled keypoint a Gaussian of its distance, as wide as the
object is large and the keypoint is hard to place; their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import SourceError, UsageError
from yolo_max.verify.val.coordinates import coordinates
from yolo_max.verify.val.labels import Labels, keypoint_shape, read_keypoints
from yolo_max.verify.val.objects import Example
from yolo_max.weights.meta import ModelMeta

PERSON = tuple(
    hundredths / 1000 for hundredths in (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
)
"""COCO's sigmas for the 17 keypoints of a person."""
PART_OF_BOX = 0.53
"""How much of its box an object covers where a dataset does not tell, as in Ultralytics."""


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of each object: a `yolo_max.verify.val.objects.Shape`.

    Attributes:
        shape: How many keypoints, and numbers of each in labels.
        sigmas: How far off each keypoint may be, as a part of the root of the object's area.
    """

    shape: tuple[int, int]
    sigmas: tuple[float, ...]
    name: ClassVar[str] = "keypoint"
    iou_type: ClassVar[str] = "keypoints"

    @classmethod
    def of_yaml(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """From ``kpt_shape``, and ``kpt_oks_sigmas`` if given."""
        shape = keypoint_shape(path, data)
        if shape is None:
            raise SourceError(f"{path} has no kpt_shape, so its labels have no keypoints.")
        if not (sigmas := data.get("kpt_oks_sigmas")):
            return cls(shape, PERSON if shape == (17, 3) else (1 / shape[0],) * shape[0])
        numbers = isinstance(sigmas, list) and all(type(each) in (int, float) for each in sigmas)
        if not numbers or len(sigmas) != shape[0] or not all(0 < each < math.inf for each in sigmas):
            raise SourceError(f"{path} has kpt_oks_sigmas that are not {shape[0]} positive numbers.")
        return cls(shape, tuple(map(float, sigmas)))

    @classmethod
    def of_json(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """From the annotations: as many as the first has."""
        lists = (each.get("keypoints") for each in data["annotations"])
        first = next((each for each in lists if isinstance(each, list) and each), None)
        if first is None or len(first) % 3:
            raise SourceError(f"{path} has no keypoints.")
        count = len(first) // 3
        return cls((count, 3), PERSON if count == len(PERSON) else (1 / count,) * count)

    def require(self, meta: ModelMeta) -> None:
        """The model must have as many."""
        known = meta.network.head.args["keypoints"]
        if known != self.shape[0]:
            raise UsageError(
                f"the model finds {known} keypoints, but the dataset's objects have {self.shape[0]}; measure "
                "a model that was trained for them."
            )

    def read(self, path: Path, names: Mapping[int, str]) -> Labels:
        """Reads poses."""
        return read_keypoints(path, names, self.shape)

    def of_annotation(self, annotation: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """float64 [K, 3] x, y, and 0 where it is not labelled; None if none is."""
        if not (values := annotation.get("keypoints")):
            return None
        points = coordinates(values).reshape(self.shape)
        return points if points[:, 2].any() else None

    def counted(self, example: Example) -> NDArray[np.bool_]:
        """In COCO's json, those of which a keypoint is labelled; in YOLO's labels all, as in Ultralytics."""
        return np.array([each is not None for each in example.shapes], bool)

    def annotation(self, example: Example, index: int, image_size: tuple[int, int]) -> dict[str, Any]:
        """The keypoints; and the area, if the dataset does not tell it."""
        points = self._pixels(example, image_size)[index]
        found = {"keypoints": points.ravel().tolist(), "num_keypoints": int(np.count_nonzero(points[:, 2]))}
        return found | {"area": float(self._areas(example, image_size)[index])}

    def overlap(self, example: Example, prediction: Any) -> NDArray[np.float64]:
        """OKS, by Ultralytics' formula: 0 with an object of which no keypoint is labelled."""
        size = prediction.image_size
        points, area = self._pixels(example, size), self._areas(example, size, of_boxes=True)
        labelled = points[..., 2] != 0
        squared = np.square(prediction.xy[:, None].astype(np.float64) - points[..., :2]).sum(axis=-1)
        width = np.square(2 * np.array(self.sigmas)) * (area[:, None] + EPSILON) * 2
        similar = np.exp(-squared / width) * labelled
        oks: NDArray[np.float64] = similar.sum(axis=-1) / (labelled.sum(axis=-1) + EPSILON)
        return oks

    def prepare(self, params: Any) -> None:
        """Sigmas; and small objects, which COCO leaves out, are measured as well."""
        params.kpt_oks_sigmas = np.array(self.sigmas)
        params.areaRng = [[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]]
        params.areaRngLbl = ["all", "small", "medium", "large"]

    def _pixels(self, example: Example, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """float64 [N, K, 3], in pixels of an image of that size; all 0 for what is not labelled."""
        points = np.zeros((len(example.shapes), self.shape[0], 3))
        for row, each in zip(points, example.shapes, strict=True):
            row[:] = 0 if each is None else each
        points[..., :2] *= example.scale(image_size)
        return points

    def _areas(
        self, example: Example, image_size: tuple[int, int], *, of_boxes: bool = False
    ) -> NDArray[np.float64]:
        """float64 [N]: what the dataset tells, or a part of the boxes."""
        boxes = example.pixels(image_size)
        estimated = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * PART_OF_BOX
        return np.where(np.isnan(example.area) | of_boxes, estimated, example.area)


EPSILON = 1e-7
"""What Ultralytics adds to divisors."""
