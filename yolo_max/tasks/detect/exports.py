"""What objects with boxes can be turned into: labels, tables, COCO's form, supervision's classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.extras import require
from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.exports import Exports


class BoxExports(Exports):
    """The exports of `yolo_max.tasks.detect.detections.Detections`, which says what its arrays are.

    A task that has more of each object than a box adds it in the methods of its shape.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    names: Mapping[int, str]
    image_size: tuple[int, int]
    track_id: NDArray[np.int32] | None

    @abstractmethod
    def _track_ids(self) -> list[int | None]:
        """The number of each object in its video; None for each without tracking."""

    def labels(self, *, confidence: bool = False) -> str:
        """The detections in YOLO label format, as written by Ultralytics' ``save_txt``.

        Args:
            confidence: Whether to end each line with it (``save_conf``).

        Returns:
            One line ``class x y width height [confidence] [track_id]`` per box: centre and size as
            fractions of the image.
        """
        height, width = self.image_size
        x1, y1, x2, y2 = self.xyxy.T
        size = np.float32(width), np.float32(height)
        columns = [
            self.class_id,
            (x1 + x2) / 2 / size[0],
            (y1 + y2) / 2 / size[1],
            (x2 - x1) / size[0],
            (y2 - y1) / size[1],
        ]
        columns += self._last_columns(confidence)
        return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in zip(*columns, strict=True))

    def _last_columns(self, confidence: bool) -> list[NDArray[Any]]:
        """What ends the lines of labels."""
        return [self.confidence] * confidence + ([] if self.track_id is None else [self.track_id])

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """See `yolo_max.tasks.exports.Exports.summary`."""
        height, width = self.image_size if normalize else (1, 1)
        rows = []
        for i, (class_id, confidence, track_id, corners) in enumerate(
            zip(
                *(self.class_id.tolist(), self.confidence.tolist(), self._track_ids()),
                self._corners().tolist(),
                strict=True,
            )
        ):
            box = {}
            for number, (x, y) in enumerate(corners, 1):
                box[f"x{number}"] = round(x / width, decimals)
                box[f"y{number}"] = round(y / height, decimals)
            rows.append(
                {
                    "name": self.names[class_id],
                    "class": class_id,
                    "confidence": round(confidence, decimals),
                    "box": box,
                    **({} if track_id is None else {"track_id": track_id}),
                    **self._shape_summary(i, (height, width), decimals),
                }
            )
        return rows

    def _blank_row(self) -> dict[str, Any]:
        return {
            "name": "",
            "class": 0,
            "confidence": 0.0,
            "box": {f"{axis}{i + 1}": 0.0 for i in range(self._corners().shape[1]) for axis in "xy"},
            **({} if self.track_id is None else {"track_id": 0}),
            **self._shape_blank(),
        }

    def _corners(self) -> NDArray[np.float32]:
        """float32 [N, K, 2] (x, y) in pixels: the corners that a summary names."""
        return self.xyxy.reshape(-1, 2, 2)

    def _shape_summary(self, index: int, unit: tuple[int, int], decimals: int) -> dict[str, Any]:  # noqa: ARG002
        """What a summary has of one object besides its box.

        Args:
            index: The object.
            unit: (height, width) in pixels that coordinates are divided by.
            decimals: To which they are rounded.
        """
        return {}

    def _shape_blank(self) -> dict[str, Any]:
        """What a row of no object has besides its box."""
        return {}

    def to_coco(
        self, image_id: int | str = 0, categories: Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """See `yolo_max.tasks.exports.Exports.to_coco`."""
        height, width = self.image_size
        left, top, right, bottom = self.xyxy.clip(0, np.array([width, height] * 2, np.float32)).T
        boxes = np.stack([left, top, right - left, bottom - top], axis=1).astype(np.float64)
        return [
            {
                "image_id": image_id,
                "category_id": class_id if categories is None else categories[class_id],
                "bbox": box,
                "score": shortest_float(confidence),
                **self._shape_coco(i),
            }
            for i, (class_id, box, confidence) in enumerate(
                zip(self.class_id.tolist(), boxes.round(3).tolist(), self.confidence, strict=True)
            )
        ]

    def _shape_coco(self, index: int) -> dict[str, Any]:  # noqa: ARG002
        """What COCO's form has of one object besides its box."""
        return {}

    def to_supervision(self) -> Any:
        """See `yolo_max.tasks.exports.Exports.to_supervision`; names are in ``data["class_name"]``."""
        supervision = require("supervision", "supervision", "to_supervision")
        return supervision.Detections(
            xyxy=self.xyxy.copy(),
            confidence=self.confidence.copy(),
            class_id=self.class_id.astype(int),
            tracker_id=None if self.track_id is None else self.track_id.copy(),
            **{"data": {"class_name": self._class_names()}, **self._shape_supervision()},
        )

    def _class_names(self) -> NDArray[np.str_]:
        return np.array([self.names[class_id] for class_id in self.class_id.tolist()], np.str_)

    def _shape_supervision(self) -> dict[str, Any]:
        """What supervision has of the objects besides their boxes."""
        return {}
