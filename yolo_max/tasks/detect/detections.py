"""Detections: the result that later steps draw, write, compare and evaluate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any, ClassVar, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.numbers import shortest_float
from yolo_max.support.option import a_fraction
from yolo_max.support.parse import parse_classes
from yolo_max.tasks.detect.exports import BoxExports
from yolo_max.tasks.marks import BoxMark, Marks
from yolo_max.tasks.records import read_size
from yolo_max.tasks.selection import ascending, rows_of


class Box(NamedTuple):
    """One detected object.

    Attributes:
        xyxy: (left, top, right, bottom) in pixels of the displayed image.
        confidence: In [0, 1].
        class_id: Key into the model's class names.
        class_name: The name of that class.
        track_id: Its number in its video, if it is tracked.
    """

    xyxy: tuple[float, float, float, float]
    confidence: float
    class_id: int
    class_name: str
    track_id: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Detections(BoxExports):
    """The objects found in one image, most confident first.

    The arrays are copied and made read-only. ``str`` counts the objects by class name, then gives height and
    width: "4 person, 1 bus (480x640)".

    Attributes:
        xyxy: float32 [N, 4] left, top, right, bottom, in pixels of the image as displayed (EXIF applied).
            Boxes are clipped to the image, so one in the letterbox's padding has no area left. It is kept, as
            in Ultralytics, and ``yolo-max val`` counts it as a false positive.
        confidence: float32 [N] in [0, 1], descending.
        class_id: int32 [N], each a key of ``names``.
        names: The model's class names by id.
        image_size: (height, width) of the displayed image in pixels.
        track_id: int32 [N], the number of each object in its video, no two alike; None without tracking.

    Raises:
        ValueError: A shape, dtype, value or the order is not as described.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    names: Mapping[int, str]
    image_size: tuple[int, int]
    track_id: NDArray[np.int32] | None = field(default=None, kw_only=True)
    per_object: ClassVar[tuple[str, ...]] = ("xyxy", "confidence", "class_id")
    """The arrays that have a row for each object."""

    def __post_init__(self) -> None:
        arrays = self._arrays()
        if self.track_id is not None:
            arrays["track_id"] = (np.int32, (len(self.confidence),))
            if len(np.unique(self.track_id)) < len(self.track_id):
                raise ValueError(f"{type(self).__name__} need a track of its own for each object.")
        for name, (dtype, shape) in arrays.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(
                    f"{type(self).__name__} need {name} as {np.dtype(dtype)} {shape}, not {array.dtype} "
                    f"{array.shape}."
                )
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not len(self):
            return
        if not np.isfinite(self.xyxy).all():
            raise ValueError("Detections need finite boxes.")
        # Negated so that NaN fails as well.
        if not (self.confidence[0] <= 1 and self.confidence[-1] >= 0):
            raise ValueError("Detections need confidences in [0, 1].")
        if not (self.confidence[:-1] >= self.confidence[1:]).all():
            raise ValueError("Detections need descending confidences.")
        unknown = set(self.class_id.tolist()) - self.names.keys()
        if unknown:
            raise ValueError(f"Detections name classes that the model does not have: {sorted(unknown)}.")

    def _arrays(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """The dtype and shape of each array."""
        count = len(self.xyxy)
        return {
            "xyxy": (np.float32, (count, 4)),
            "confidence": (np.float32, (count,)),
            "class_id": (np.int32, (count,)),
        }

    @classmethod
    def empty(cls, names: Mapping[int, str], image_size: tuple[int, int]) -> Self:
        """No detections in an image of ``image_size`` (height, width)."""
        return cls(
            np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), names, image_size
        )

    def __str__(self) -> str:
        found = ", ".join(f"{number} {name}" for name, number in self.counts().items())
        height, width = self.image_size
        return f"{found or 'nothing'} ({height}x{width})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def __len__(self) -> int:
        return len(self.confidence)

    def __iter__(self) -> Iterator[Box]:
        rows = zip(
            *(self.xyxy.tolist(), self.confidence.tolist(), self.class_id.tolist(), self._track_ids()),
            strict=True,
        )
        for xyxy, confidence, class_id, track_id in rows:
            yield Box(tuple(xyxy), confidence, class_id, self.names[class_id], track_id)

    def _track_ids(self) -> list[int | None]:
        return [None] * len(self.confidence) if self.track_id is None else self.track_id.tolist()

    @overload
    def __getitem__(self, index: int) -> Box: ...
    @overload
    def __getitem__(self, index: slice | NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Self: ...
    def __getitem__(self, index: int | slice | NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Box | Self:
        """A `Box` for an int; Detections for a slice, a boolean mask or ascending indices.

        Raises:
            IndexError: There are fewer objects, or the mask has another length.
            UsageError: The index is of another kind, or its indices do not ascend.
        """
        rows = rows_of(index, len(self))
        if isinstance(rows, int):
            x1, y1, x2, y2 = self.xyxy[rows].tolist()
            class_id = int(self.class_id[rows])
            box = (x1, y1, x2, y2), float(self.confidence[rows]), class_id, self.names[class_id]
            return Box(*box, self._track_ids()[rows])
        rows = ascending(rows)
        track_id = None if self.track_id is None else self.track_id[rows]
        arrays = {name: getattr(self, name)[rows] for name in self.per_object}
        return replace(self, **arrays, track_id=track_id)

    def in_larger(self, left: int, top: int, image_size: tuple[int, int]) -> Self:
        """The same objects in an image that this one is cut out of.

        Args:
            left: Where, in pixels: the column of that image in which this one begins.
            top: The row.
            image_size: (height, width) of that image.
        """
        shift = np.array([left, top, left, top], np.float32)
        return replace(self, xyxy=self.xyxy + shift, image_size=image_size)

    def overlap(self, index: int, others: NDArray[np.intp]) -> NDArray[np.float64]:
        """What one object has in common with others: float64 [M], a part of the smaller one's area (IoS).

        A box without area has nothing in common with any.
        """
        one, many = self.xyxy[index].astype(np.float64), self.xyxy[others].astype(np.float64)
        sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
        smaller = np.minimum((one[2:] - one[:2]).prod(), (many[:, 2:] - many[:, :2]).prod(-1))
        return part_of(sides.clip(0).prod(-1), smaller)

    def united(self, groups: Sequence[NDArray[np.intp]]) -> Self:
        """One object of each group: as its first, with a box around them all.

        Args:
            groups: Indices; the first of each group is the most confident of it, and they ascend.
        """
        boxes = [self.xyxy[group] for group in groups]
        sides = [np.concatenate([each[:, :2].min(axis=0), each[:, 2:].max(axis=0)]) for each in boxes]
        firsts = np.array([group[0] for group in groups], np.intp)
        return replace(self[firsts], xyxy=np.array(sides, np.float32).reshape(-1, 4))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and self.names == other.names
            and self._track_ids() == other._track_ids()
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in self.per_object)
        )

    __hash__ = None  # type: ignore[assignment]

    def filter(self, classes: int | str | Iterable[int | str] | None = None, conf: float = 0.0) -> Self:
        """Those of some classes, or of some confidence.

        Args:
            classes: One or more ids or names; all by default.
            conf: Minimum confidence, in [0, 1].

        Raises:
            UsageError: There is no such class, or ``conf`` is no fraction.
        """
        a_fraction("conf", conf)
        kept = self.confidence >= np.float32(conf)
        chosen = parse_classes(classes, self.names)
        return self[kept if chosen is None else kept & np.isin(self.class_id, chosen)]

    def counts(self) -> dict[str, int]:
        """The number of objects per class name, most frequent first (then by class id)."""
        by_id = Counter(self.class_id.tolist())
        counts: Counter[str] = Counter()
        for class_id in sorted(by_id):
            counts[self.names[class_id]] += by_id[class_id]
        return dict(counts.most_common())

    def to_dict(self) -> dict[str, Any]:
        """The detections as plain JSON types; `from_dict` restores the same float32 values.

        Returns:
            ``{"image_size": [height, width], "boxes": [{"class_id", "class_name", "confidence",
            "xyxy": [left, top, right, bottom]}, ...]}``; tracked, each box also has its "track_id".
        """
        return {"image_size": list(self.image_size), "boxes": self._entries()}

    def _entries(self) -> list[dict[str, Any]]:
        """The record's entry for each object."""
        return [
            {
                **({} if track_id is None else {"track_id": track_id}),
                "class_id": class_id,
                "class_name": self.names[class_id],
                "confidence": shortest_float(confidence),
                "xyxy": [shortest_float(side) for side in xyxy],
            }
            for track_id, class_id, confidence, xyxy in zip(
                *(self._track_ids(), self.class_id.tolist(), self.confidence, self.xyxy), strict=True
            )
        ]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], names: Mapping[int, str] | None = None) -> Self:
        """Restores what `to_dict` wrote.

        Args:
            record: A mapping with at least the keys that `to_dict` gives.
            names: The model's class names by id; by default those of the boxes.

        Raises:
            ValueError: The record lacks a key, or its values are not of this kind of prediction.
        """
        try:
            boxes = record["boxes"]
            size = read_size(record["image_size"])
            if names is None:
                names = {box["class_id"]: box["class_name"] for box in boxes}
            ids = [index(box["track_id"]) for box in boxes if "track_id" in box]
            track_id = np.array(ids, np.int32) if ids else None
            return cls(names=names, image_size=size, track_id=track_id, **cls._columns(record))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"The record does not describe {cls.__name__} ({error!r}).") from error

    @classmethod
    def _columns(cls, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The arrays from a record."""
        boxes = record["boxes"]
        return {
            "xyxy": np.array([box["xyxy"] for box in boxes], np.float32).reshape(-1, 4),
            "confidence": np.array([box["confidence"] for box in boxes], np.float32),
            "class_id": np.array([index(box["class_id"]) for box in boxes], np.int32),
        }

    def marks(self) -> Marks:
        """One box per detection, labelled with its track (as by Ultralytics), class and confidence."""
        return Marks(boxes=tuple(self._mark(box) for box in self))

    @staticmethod
    def _mark(box: Any, corners: tuple[tuple[float, float], ...] = ()) -> BoxMark:
        name = box.class_name if box.track_id is None else f"id:{box.track_id} {box.class_name}"
        return BoxMark(box.xyxy, box.class_id, f"{name} {box.confidence:.2f}", name, corners, box.track_id)


def part_of(shared: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quotient of areas; 0 where there is no whole."""
    part: NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, whole, out=part, where=whole > 0)
    return part
