"""YOLO label files, by Ultralytics' rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolo_max.verify.val.plain_file import read_plain_file

TOLERANCE = 0.01
"""How far outside [0, 1] a normalised label may be, as in Ultralytics."""


def read_labels(
    path: Path, names: Mapping[int, str], keypoint_numbers: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Reads a YOLO label file: one line ``class x_center y_center width height`` per object, in [0, 1].

    A file with longer lines holds polygons, ``class x1 y1 x2 y2 x3 y3 ...``; each means the box around it.
    The rules are Ultralytics': lines that are equal in float32 count once, and bounds apply to the box,
    within `TOLERANCE`.

    Args:
        path: The file; if it is missing, the image has no objects.
        names: Class names by id.
        keypoint_numbers: How many numbers of keypoints may follow a box; they are ignored.

    Returns:
        int64 [N] class ids, and float64 [N, 4] left, top, right, bottom in [0, 1].

    Raises:
        ValueError: A line cannot be used; the message says which and why.
        OSError: The file cannot be read.
    """
    try:
        text = read_plain_file(path).decode("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    lines = {number: line.split() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if keypoint_numbers:
        pose = 5 + keypoint_numbers
        lines = {number: words[:5] if len(words) == pose else words for number, words in lines.items()}
    polygons = any(len(words) > 6 for words in lines.values())
    rows: dict[tuple[float, ...], tuple[float, ...]] = {}  # a dict keeps the order and each row once
    for number, words in lines.items():
        row = _numbers(words, number, polygons)
        box = _box(row, number, names)
        rows.setdefault(tuple(np.array(row, np.float32).tolist()), box)
    table = np.array(list(rows.values()), np.float64).reshape(-1, 5)
    return table[:, 0].astype(np.int64), table[:, 1:]


def _numbers(words: list[str], number: int, polygons: bool) -> tuple[float, ...]:
    try:
        row = tuple(float(word) for word in words)
    except ValueError:
        raise ValueError(f"has something other than numbers in line {number}") from None
    if polygons and len(row) == 5:
        raise ValueError(f"mixes polygons with the box in line {number}")
    if len(row) != 5 and not (polygons and len(row) > 5 and len(row) % 2):
        raise ValueError(f"has {len(row)} numbers in line {number}, where a box has 5")
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
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):  # false for NaN
        raise ValueError(f"has a number outside 0 to 1 in line {number}")
    if width < 0 or height < 0:
        raise ValueError(f"has a box of negative size in line {number}")
    return class_id, x - width / 2, y - height / 2, x + width / 2, y + height / 2
