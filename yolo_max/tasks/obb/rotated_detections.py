"""Rotated detections: the result that later steps draw, write, compare and evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.detect.detections import Detections, part_of
from yolo_max.tasks.marks import Marks
from yolo_max.tasks.obb.decode import corners
from yolo_max.tasks.obb.overlap import rotated_iou
from yolo_max.tasks.selection import rows_of


class RotatedBox(NamedTuple):
    """One detected object.

    Attributes:
        xywhr: Centre x and y, width and height in pixels of the displayed image, and the angle in radians by
            which the box is turned, clockwise as displayed.
        xyxyxyxy: Its four corners, (x, y) each.
        xyxy: (left, top, right, bottom) of the upright rectangle around it.
        confidence: In [0, 1].
        class_id: Key into the model's class names.
        class_name: The name of that class.
        track_id: Its number in its video, if it is tracked.
    """

    xywhr: tuple[float, float, float, float, float]
    xyxyxyxy: tuple[tuple[float, float], ...]
    xyxy: tuple[float, float, float, float]
    confidence: float
    class_id: int
    class_name: str
    track_id: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class RotatedDetections(Detections):
    """The objects found in one image as rotated boxes, most confident first.

    The arrays are copied and made read-only. As in Ultralytics, boxes are not clipped to the image, and sides
    and angle are the network's: the same rectangle can be written with exchanged sides and another angle.

    Attributes:
        xywhr: float32 [N, 5] centre x and y, width and height in pixels of the image as displayed (EXIF
            applied), and the angle in radians, clockwise as displayed.
        xyxy: float32 [N, 4] left, top, right, bottom of the upright rectangles around them, not clipped.

    Raises:
        ValueError: A shape, dtype, value or the order is not as described.
    """

    xyxy: NDArray[np.float32] = field(init=False)
    xywhr: NDArray[np.float32] = field(kw_only=True)
    per_object: ClassVar[tuple[str, ...]] = ("xywhr", "confidence", "class_id")

    def __post_init__(self) -> None:
        count = len(self.confidence)
        if self.xywhr.dtype != np.float32 or self.xywhr.shape != (count, 5):
            raise ValueError(
                f"RotatedDetections need xywhr as float32 {(count, 5)}, not {self.xywhr.dtype} "
                f"{self.xywhr.shape}."
            )
        around = corners(self.xywhr)
        object.__setattr__(self, "xyxy", np.hstack([around.min(axis=1), around.max(axis=1)]))
        super().__post_init__()

    def _arrays(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        return {**super()._arrays(), "xywhr": (np.float32, (len(self.xyxy), 5))}

    @cached_property
    def xyxyxyxy(self) -> NDArray[np.float32]:
        """float32 [N, 4, 2], the corners (x, y) in image pixels.

        The first is that at half the width and height along the box's own axes; the others follow
        counter-clockwise as displayed.
        """
        found: NDArray[np.float32] = corners(self.xywhr)
        found.flags.writeable = False
        return found

    @property
    def xyxyxyxyn(self) -> NDArray[np.float32]:
        """The same as fractions of the image's width and height."""
        height, width = self.image_size
        return np.divide(self.xyxyxyxy, np.array([width, height], np.float32))

    @classmethod
    def empty(cls, names: Mapping[int, str], image_size: tuple[int, int]) -> Self:
        """No detections in an image of ``image_size`` (height, width)."""
        none = np.empty(0, np.float32)
        return cls(
            confidence=none,
            class_id=none.astype(np.int32),
            names=names,
            image_size=image_size,
            xywhr=none.reshape(0, 5),
        )

    def in_larger(self, left: int, top: int, image_size: tuple[int, int]) -> Self:
        """As of detections."""
        shift = np.array([left, top, 0, 0, 0], np.float32)
        return replace(self, xywhr=self.xywhr + shift, image_size=image_size)

    def overlap(self, index: int, others: NDArray[np.intp]) -> NDArray[np.float64]:
        """As of detections, of the rotated boxes."""
        one, many = self.xywhr[index : index + 1], self.xywhr[others]
        iou = rotated_iou(one, many)[0]
        first, second = (np.abs(each[:, 2].astype(np.float64) * each[:, 3]) for each in (one, many))
        return part_of(iou * (first + second) / (1 + iou), np.minimum(first, second))

    def united(self, groups: Sequence[NDArray[np.intp]]) -> Self:
        """As of detections; a box is turned as the first, and holds the corners of all."""
        boxes = self.xywhr[[int(group[0]) for group in groups]]
        for box, group in zip(boxes, groups, strict=True):
            if len(group) > 1:
                cos, sin = np.cos(np.float64(box[4])), np.sin(np.float64(box[4]))
                axes = np.array([[cos, sin], [-sin, cos]])
                along = self.xyxyxyxy[group].reshape(-1, 2).astype(np.float64) @ axes.T
                low, high = along.min(axis=0), along.max(axis=0)
                box[:2], box[2:4] = (low + high) / 2 @ axes, high - low
        firsts = np.array([group[0] for group in groups], np.intp)
        return replace(self[firsts], xywhr=boxes)

    def __iter__(self) -> Iterator[RotatedBox]:  # type: ignore[override]  # with all that a `Box` has
        return (self[i] for i in range(len(self)))

    @overload  # type: ignore[override]
    def __getitem__(self, index: int) -> RotatedBox: ...
    @overload
    def __getitem__(self, index: slice | NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Self: ...
    def __getitem__(
        self, index: int | slice | NDArray[np.bool_] | NDArray[np.integer[Any]]
    ) -> RotatedBox | Self:
        """A `RotatedBox` for an int; RotatedDetections for a slice, a boolean mask or ascending indices."""
        row = rows_of(index, len(self))
        if not isinstance(row, int):
            return super().__getitem__(row)
        class_id = int(self.class_id[row])
        x, y, width, height, angle = self.xywhr[row].tolist()
        left, top, right, bottom = self.xyxy[row].tolist()
        return RotatedBox(
            (x, y, width, height, angle),
            tuple((x, y) for x, y in self.xyxyxyxy[row].tolist()),
            (left, top, right, bottom),
            float(self.confidence[row]),
            class_id,
            self.names[class_id],
            self._track_ids()[row],
        )

    def _corners(self) -> NDArray[np.float32]:
        return self.xyxyxyxy

    def _shape_coco(self, index: int) -> dict[str, Any]:
        """Box and corners, as Ultralytics writes them for DOTA."""
        return {
            "rbox": self.xywhr[index].astype(np.float64).round(3).tolist(),
            "poly": self.xyxyxyxy[index].astype(np.float64).round(3).ravel().tolist(),
        }

    def _shape_supervision(self) -> dict[str, Any]:
        return {"data": {"class_name": self._class_names(), "xyxyxyxy": self.xyxyxyxy.copy()}}

    def _entries(self) -> list[dict[str, Any]]:
        """Those of detections with ``xywhr`` and ``xyxyxyxy``, [[x, y], ...]."""
        shapes = zip(super()._entries(), self.xywhr, self.xyxyxyxy, strict=True)
        return [
            {
                **entry,
                "xywhr": [shortest_float(number) for number in xywhr],
                "xyxyxyxy": [[shortest_float(x), shortest_float(y)] for x, y in points],
            }
            for entry, xywhr, points in shapes
        ]

    @classmethod
    def _columns(cls, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        columns = super()._columns(record)
        del columns["xyxy"]  # follows from xywhr
        columns["xywhr"] = np.array([box["xywhr"] for box in record["boxes"]], np.float32).reshape(-1, 5)
        return columns

    def marks(self) -> Marks:
        """One rotated box per detection, labelled with class and confidence."""
        return Marks(boxes=tuple(self._mark(box, box.xyxyxyxy) for box in self))

    def labels(self, *, confidence: bool = False) -> str:
        """The detections in YOLO's OBB label format, as written by Ultralytics' ``save_txt``.

        Args:
            confidence: Whether to end each line with it (``save_conf``).

        Returns:
            One line ``class x1 y1 x2 y2 x3 y3 x4 y4 [confidence] [track_id]`` per box: its corners as
            fractions of the image.
        """
        height, width = self.image_size
        fractions = self.xyxyxyxy / np.array([width, height], np.float32)
        columns = [self.class_id, *fractions.reshape(-1, 8).T]
        columns += self._last_columns(confidence)
        return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in zip(*columns, strict=True))
