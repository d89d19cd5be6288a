"""Poses: detections with keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.extras import require
from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.marks import Marks
from yolo_max.tasks.pose.skeleton import skeleton

VISIBLE = 0.5
"""A keypoint is taken to be visible, and drawn, from this visibility on."""


@dataclass(frozen=True, eq=False, repr=False)
class Poses(Detections):
    """The objects found in one image with their keypoints, most confident first.

    Otherwise as `Detections`: ``for box, keypoints in zip(poses, poses.keypoints)``.

    Attributes:
        keypoints: float32 [N, K, 2 or 3] x and y, in pixels of the image as displayed, clipped to it; then,
            if the model was trained for it, the visibility in [0, 1].

    Raises:
        ValueError: A shape, dtype, value or the order is not as described.
    """

    keypoints: NDArray[np.float32]
    per_object: ClassVar[tuple[str, ...]] = (*Detections.per_object, "keypoints")

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.keypoints.shape
        if shape[1] < 1 or shape[2] not in (2, 3):
            raise ValueError(f"Poses need keypoints of 2 or 3 numbers, not {shape}.")
        if not np.isfinite(self.keypoints).all():
            raise ValueError("Poses need finite keypoints.")
        visibility = self.keypoints[..., 2:]
        if not ((visibility >= 0) & (visibility <= 1)).all():
            raise ValueError("Poses need visibilities in [0, 1].")

    def _arrays(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        count, dimensions = (*self.keypoints.shape[1:], 0, 0)[:2]
        return {**super()._arrays(), "keypoints": (np.float32, (len(self.xyxy), count, dimensions))}

    @property
    def xy(self) -> NDArray[np.float32]:
        """The keypoints without visibility, float32 [N, K, 2], in pixels."""
        return self.keypoints[..., :2]

    @property
    def xyn(self) -> NDArray[np.float32]:
        """The same as fractions of the image's width and height."""
        height, width = self.image_size
        return np.divide(self.xy, np.array([width, height], np.float32))

    @property
    def has_visible(self) -> bool:
        """Whether the model tells how visible each keypoint is."""
        return bool(self.keypoints.shape[2] == 3)

    @property
    def visibility(self) -> NDArray[np.float32] | None:
        """How visible each keypoint is, float32 [N, K] in [0, 1]; None without `has_visible`."""
        return self.keypoints[..., 2] if self.has_visible else None

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether each keypoint is visible, bool [N, K]: its visibility is `VISIBLE` or higher.

        A model that does not tell puts the others at (0, 0), as its labels do.
        """
        seen: NDArray[np.bool_] = np.any(self.xy != 0, axis=2)
        return seen if self.visibility is None else self.visibility >= VISIBLE

    def in_larger(self, left: int, top: int, image_size: tuple[int, int]) -> Self:
        """As of detections; where the model tells no visibility, what is at (0, 0) stays there."""
        points = self.keypoints.copy()
        placed = np.full(points.shape[:2], True) if self.has_visible else self.visible
        points[placed, :2] += np.array([left, top], np.float32)
        return replace(super().in_larger(left, top, image_size), keypoints=points)

    @classmethod
    def empty(
        cls, names: Mapping[int, str], image_size: tuple[int, int], shape: tuple[int, int] = (17, 3)
    ) -> Self:
        """No poses in an image of ``image_size`` (height, width), for keypoints of a shape."""
        nothing = Detections.empty(names, image_size)
        return cls(**vars(nothing), keypoints=np.empty((0, *shape), np.float32))

    def to_dict(self) -> dict[str, Any]:
        """The poses as plain JSON types; `from_dict` restores the same float32 values.

        Returns:
            That of detections, with ``"kpt_shape": [K, 2 or 3]``, and ``"keypoints": [[x, y, visibility],
            ...]`` in each box.
        """
        return {**super().to_dict(), "kpt_shape": list(self.keypoints.shape[1:])}

    def _shape_summary(self, index: int, unit: tuple[int, int], decimals: int) -> dict[str, Any]:
        height, width = unit
        x, y = self.xy[index].T
        columns = {"x": x / width, "y": y / height}
        if self.visibility is not None:
            columns["visible"] = self.visibility[index]
        rounded = {name: each.astype(float).round(decimals).tolist() for name, each in columns.items()}
        return {"keypoints": rounded}

    def _shape_blank(self) -> dict[str, Any]:
        return {"keypoints": {name: [0.0] for name in ("x", "y", "visible")[: self.keypoints.shape[2]]}}

    def _shape_coco(self, index: int) -> dict[str, Any]:
        """x, y (in the image), visibility of each keypoint; 1 where the model does not tell."""
        points = np.ones((self.keypoints.shape[1], 3), np.float32)
        points[:, : self.keypoints.shape[2]] = self.keypoints[index]
        height, width = self.image_size
        points[:, :2] = points[:, :2].clip(0, np.array([width, height], np.float32))
        return {"keypoints": [shortest_float(value) for value in points.ravel()]}

    def to_supervision(self) -> Any:
        """The keypoints, as ``supervision.KeyPoints``; names are in ``data["class_name"]``."""
        supervision = require("supervision", "supervision", "to_supervision")
        if not len(self):
            return supervision.KeyPoints.empty()
        return supervision.KeyPoints(
            xy=self.xy.copy(),
            class_id=self.class_id.astype(int),
            keypoint_confidence=None if self.visibility is None else self.visibility.copy(),
            detection_confidence=self.confidence.copy(),
            data={"class_name": self._class_names()},
        )

    def _entries(self) -> list[dict[str, Any]]:
        points = [[[shortest_float(value) for value in each] for each in pose] for pose in self.keypoints]
        return [{**entry, "keypoints": pose} for entry, pose in zip(super()._entries(), points, strict=True)]

    @classmethod
    def _columns(cls, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        count, dimensions = record["kpt_shape"]
        boxes = record["boxes"]
        points = np.array([box["keypoints"] for box in boxes], np.float32)
        if not boxes:
            points = np.empty((0, count, dimensions), np.float32)
        if points.shape != (len(boxes), count, dimensions):
            raise ValueError(f"The record's keypoints are {points.shape}, not {count} x {dimensions}.")
        return {**super()._columns(record), "keypoints": points}

    def marks(self) -> Marks:
        """The boxes, and the visible keypoints of each."""
        skeletons = tuple(
            skeleton(points, visible)
            for points, visible in zip(self.xy.tolist(), self.visible.tolist(), strict=True)
        )
        return replace(super().marks(), skeletons=skeletons)

    def labels(self, *, confidence: bool = False) -> str:
        """The poses in YOLO label format, as written by Ultralytics' ``save_txt``.

        Args:
            confidence: Whether to end each line with it (``save_conf``).

        Returns:
            One line ``class x y width height x1 y1 [visibility1] x2 y2 ... [confidence] [track_id]`` per
            box, all as fractions of the image.
        """
        count, dimensions = self.keypoints.shape[1:]
        points = np.concatenate([self.xyn, self.keypoints[..., 2:]], axis=2)
        columns = [points.reshape(len(self), count * dimensions)]
        boxes = Detections(self.xyxy, self.confidence, self.class_id, self.names, self.image_size).labels()
        columns += [each[:, None] for each in self._last_columns(confidence)]
        rows = np.concatenate(columns, axis=1).tolist()
        return "".join(
            f"{line} {' '.join(f'{value:g}' for value in row)}\n"
            for line, row in zip(boxes.splitlines(), rows, strict=True)
        )
