"""An image cut into tiles that overlap."""

from __future__ import annotations

from typing import NamedTuple

Size = tuple[int, int]
"""(height, width) in pixels."""


class Tile(NamedTuple):
    """A part of an image, in pixels: columns from left to right, rows from top to bottom, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int


def tiles_of(image_size: Size, side: int, overlap: float) -> list[Tile]:
    """The tiles of an image, row by row; each pixel is in at least one.

    All are squares of that side, unless the image is smaller. As in SAHI, the last ones of rows and columns
    are moved back into the image, so that they overlap more.

    Args:
        image_size: (height, width).
        side: Of a tile, in pixels.
        overlap: How much of a tile its neighbour has, too: in [0, 1).
    """
    height, width = image_size
    rows, columns = (_starts(length, side, overlap) for length in image_size)
    return [
        Tile(left, top, min(left + side, width), min(top + side, height)) for top in rows for left in columns
    ]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Where tiles begin along one axis."""
    step = max(1, side - int(overlap * side))
    last = max(0, length - side)
    return [*range(0, last, step), last]
