"""COCO's run-length encoding of masks.

Pixels are numbered column by column. A mask is its *boundaries*, int64 [2R] ascending: each of its R runs of
pixels begins at one and ends before the next. COCO's compressed counts are the lengths of the runs outside
and inside the mask in turn, as text; pycocotools reads them with the mask's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in pixels."""
Boundaries = NDArray[np.int64]

GROUPS = 10
"""The most characters of a count, five bits each."""


def boundaries_of(columns: Iterable[NDArray[np.bool_]], top: int, left: int, size: Size) -> Boundaries:
    """The boundaries of a mask that is given for a window of it, and empty outside.

    Args:
        columns: bool [h, w] parts of the window, from left to right.
        top: The first row of the window.
        left: Its first column.
        size: Of the whole mask.
    """
    height = size[0]
    found = [np.empty(0, np.int64)]
    for part in columns:
        rows = part.shape[0] + 1  # a row of background below, where every run ends
        framed = np.zeros(part.shape[1] * rows + 1, bool)
        framed[1:].reshape(-1, rows)[:, :-1] = part.T
        column, row = np.divmod(np.flatnonzero(framed[1:] != framed[:-1]), rows)
        found.append((left + column) * height + top + row)
        left += part.shape[1]
    every = np.concatenate(found)
    # Where a run ends as the next begins, at the foot of a column, it is one.
    apart = every[1:-1:2] != every[2::2]
    inner = every[1:-1].reshape(-1, 2)[apart].ravel()
    return np.concatenate([every[:1], inner, every[-1:]])


def encode(boundaries: Boundaries, size: Size) -> str:
    """COCO's compressed counts."""
    end = size[0] * size[1]
    counts = np.diff(boundaries, prepend=0, append=end)
    if not counts[-1] and len(counts) > 1:
        counts = counts[:-1]
    counts[3:] -= counts[1:-2].copy()
    rest = counts[:, None] >> np.arange(0, 5 * GROUPS, 5)
    goes_on = (rest < -16) | (rest > 15)
    used = np.ones_like(goes_on)
    used[:, 1:] = goes_on[:, :-1]
    characters = (rest & 31) + 32 * goes_on + ord("0")
    return characters[used].astype(np.uint8).tobytes().decode("ascii")


def decode(counts: str, size: Size) -> Boundaries:
    """The boundaries of a mask.

    Args:
        counts: COCO's compressed counts.
        size: Of the mask.

    Raises:
        ValueError: They are not those of a mask of that size.
    """
    # What is not ASCII gives bytes that no count has.
    text = counts.encode("utf-8", "surrogatepass")
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - ord("0")
    last = np.flatnonzero(characters < 32)
    first = np.concatenate([[0], last[:-1] + 1])
    whole = len(last) > 0 and last[-1] == len(characters) - 1 and (last - first).max() < GROUPS
    if not whole or characters.min() < 0 or characters.max() > 63:
        raise ValueError("The counts of a mask's runs are not COCO's compressed ones.")
    place = np.arange(len(characters)) - np.repeat(first, last - first + 1)
    lengths = np.add.reduceat((characters & 31) << 5 * place, first)
    lengths -= (characters[last] >> 4 & 1) << 5 * (place[last] + 1)
    for start in (1, 2):  # from the third on, each is the difference from the last but one
        lengths[start::2] = np.cumsum(lengths[start::2])
    if lengths.min() < 0 or lengths.sum() != size[0] * size[1]:
        raise ValueError(f"The counts of a mask's runs do not make up {size[0]} x {size[1]} pixels.")
    boundaries: Boundaries = np.cumsum(lengths)
    return boundaries[: len(lengths) // 2 * 2]


def window_of(boundaries: Boundaries, size: Size) -> tuple[NDArray[np.bool_], int, int]:
    """The smallest window that holds a mask.

    Returns:
        bool [h, w], and the window's first row and column; empty for an empty mask.
    """
    if not len(boundaries):
        return np.zeros((0, 0), bool), 0, 0
    height = size[0]
    left, right = boundaries[0] // height, (boundaries[-1] - 1) // height + 1
    edges = np.concatenate([boundaries - left * height, [(right - left) * height]])
    inside = np.arange(len(edges)) % 2 == 1
    mask = np.repeat(inside, np.diff(edges, prepend=0)).reshape(-1, height).T
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return np.ascontiguousarray(mask[top:bottom]), top, int(left)


def area(boundaries: Boundaries) -> int:
    """The number of a mask's pixels."""
    return int((boundaries[1::2] - boundaries[::2]).sum())


def intersection(a: Boundaries, b: Boundaries) -> int:
    """The number of pixels that two masks of one size share."""
    if not len(a) or not len(b):
        return 0
    # How many pixels of b come before a place: 0, then rising within each run.
    lengths = np.where(np.arange(len(b)) % 2 == 1, np.diff(b, prepend=0), 0)
    before = np.interp(a, b, np.cumsum(lengths))
    return round(float((before[1::2] - before[::2]).sum()))


def union(masks: Sequence[Boundaries]) -> Boundaries:
    """The boundaries of all the pixels that some masks of one size have."""
    edges = np.concatenate(masks)
    steps = np.concatenate([np.tile(np.array([1, -1]), len(each) // 2) for each in masks])
    order = np.lexsort((-steps, edges))  # where a run ends as another begins, they are one
    edges, steps = edges[order], steps[order]
    depth = np.cumsum(steps)
    united: Boundaries = edges[(depth == 0) | ((depth == 1) & (steps == 1))]
    return united


def iou(a: Boundaries, b: Boundaries) -> float:
    """Intersection over union of two masks of one size; 1 if both are empty."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return shared / union if union else 1.0
