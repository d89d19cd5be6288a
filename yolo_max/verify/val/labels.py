"""YOLO label files, by Ultralytics' rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.specs.per_box import MAX_KEYPOINTS
from yolo_max.support.errors import SourceError
from yolo_max.support.plain_file import read_plain_file

TOLERANCE = 0.01
"""How far outside [0, 1] a normalised label may be, as in Ultralytics."""


class Labels(NamedTuple):
    """The objects of a label file.

    Attributes:
        class_id: int64 [N].
        xyxy: float64 [N, 4] left, top, right, bottom in [0, 1], within `TOLERANCE`.
        shapes: One per object: the numbers behind its class, or its keypoints.
    """

    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    shapes: tuple[Any, ...]


def read_labels(path: Path, names: Mapping[int, str], keypoint_numbers: int = 0) -> Labels:
    """Reads a YOLO label file: one line ``class x_center y_center width height`` per object, in [0, 1].

    A file with longer lines holds polygons, ``class x1 y1 x2 y2 x3 y3 ...``; each means the box around it.
    The rules are Ultralytics': lines that are equal in float32 count once, and bounds apply to the box,
    within `TOLERANCE`.

    Args:
        path: The file; if it is missing, the image has no objects.
        names: Class names by id.
        keypoint_numbers: How many numbers of keypoints may follow a box; they are ignored.

    Raises:
        ValueError: A line cannot be used; the message says which and why.
        OSError: The file cannot be read.
    """
    lines = _lines(path)
    if keypoint_numbers:
        pose = 5 + keypoint_numbers
        lines = {number: words[:5] if len(words) == pose else words for number, words in lines.items()}
    polygons = any(len(words) > 6 for words in lines.values())
    labels = _Labels()
    for number, words in lines.items():
        row = _numbers(words, number)
        if polygons and len(row) == 5:
            raise ValueError(f"mixes polygons with the box in line {number}")
        if len(row) != 5 and not (polygons and len(row) > 5 and len(row) % 2):
            raise ValueError(f"has {len(row)} numbers in line {number}, where a box has 5")
        labels.add(row, _box(row, number, names), row[1:])
    return labels.all()


def read_keypoints(path: Path, names: Mapping[int, str], shape: tuple[int, int]) -> Labels:
    """Reads a YOLO label file of poses: a box and its keypoints per line, by Ultralytics' rules.

    Args:
        path: The file; if it is missing, the image has no objects.
        names: Class names by id.
        shape: How many keypoints, and numbers of each: 2 for x and y, 3 with visibility.

    Returns:
        The objects; each shape is float64 [K, 3]: x and y in [0, 1], within `TOLERANCE`, and a number that is
        0 where the keypoint is not labelled. If labels tell only x and y, negative ones mean that.

    Raises:
        ValueError: A line cannot be used; the message says which and why.
        OSError: The file cannot be read.
    """
    count, dimensions = shape
    length = 5 + count * dimensions
    labels = _Labels()
    for number, words in _lines(path).items():
        row = _numbers(words, number)
        if len(row) != length:
            raise ValueError(
                f"has {len(row)} numbers in line {number}, where a box and {count} keypoints have {length}"
            )
        keypoints = np.array(row[5:], np.float64).reshape(shape)
        if (keypoints < -TOLERANCE).any() or (keypoints[:, :2] > 1 + TOLERANCE).any():
            raise ValueError(f"has a keypoint outside 0 to 1 in line {number}")
        if dimensions == 2:
            keypoints = np.column_stack([keypoints, (keypoints >= 0).all(axis=1)])
        labels.add(row, _box(row[:5], number, names), keypoints)
    return labels.all()


def keypoint_shape(path: Path, data: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many keypoints a dataset's poses have, and numbers of each (``kpt_shape``).

    Args:
        path: The dataset's YAML, for messages.
        data: What it says.

    Raises:
        SourceError: It is something else.
    """
    shape = data.get("kpt_shape")
    if shape is None:
        return None
    if not (
        isinstance(shape, list)
        and [type(each) for each in shape] == [int, int]
        and 1 <= shape[0] <= MAX_KEYPOINTS
        and shape[1] in (2, 3)
    ):
        raise SourceError(
            f"{path} has a kpt_shape that is not [keypoints, 2 or 3], with 1 to {MAX_KEYPOINTS} keypoints."
        )
    return shape[0], shape[1]


def _lines(path: Path) -> dict[int, list[str]]:
    """The words of each line that has any, by its number."""
    try:
        text = read_plain_file(path).decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    return {number: line.split() for number, line in enumerate(text.splitlines(), 1) if line.strip()}


class _Labels:
    """Collects objects, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[float, ...], tuple[tuple[float, ...], Any]] = {}

    def add(self, row: tuple[float, ...], box: tuple[float, ...], shape: Any) -> None:
        """Adds the object of a row, given its class and box and what its `Shape` reads."""
        self._found.setdefault(tuple(np.array(row, np.float32).tolist()), (box, shape))

    def all(self) -> Labels:
        """In the order of the rows."""
        table = np.array([box for box, _ in self._found.values()], np.float64).reshape(-1, 5)
        shapes = tuple(shape for _, shape in self._found.values())
        return Labels(table[:, 0].astype(np.int64), table[:, 1:], shapes)


def _numbers(words: list[str], number: int) -> tuple[float, ...]:
    """The numbers of a line, all finite."""
    try:
        row = tuple(float(word) for word in words)
    except ValueError:
        raise ValueError(f"has something other than numbers in line {number}") from None
    if not all(map(math.isfinite, row)):
        raise ValueError(f"has a number that is not finite in line {number}")
    return row


def _box(row: tuple[float, ...], number: int, names: Mapping[int, str]) -> tuple[float, ...]:
    """Class, left, top, right and bottom of a row of the file."""
    class_id, *values = row
    if not class_id.is_integer() or int(class_id) not in names:
        raise ValueError(
            f"has class {class_id:g} in line {number}, but the dataset's classes run from {min(names)} to "
            f"{max(names)}"
        )
    if len(values) > 4:
        xs, ys = values[0::2], values[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        values = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    x, y, width, height = values
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise ValueError(f"has a number outside 0 to 1 in line {number}")
    if width < 0 or height < 0:
        raise ValueError(f"has a box of negative size in line {number}")
    return class_id, x - width / 2, y - height / 2, x + width / 2, y + height / 2
