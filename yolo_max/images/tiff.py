"""The tags of a TIFF: its size, its depth, and how many pages it has."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.chunks import TRUNCATED
from yolo_max.support.errors import ImageError

_MAX_TAGS, _MAX_PAGES = 10_000, 10_000
"""A hostile file may hold more; no real image comes near these numbers."""
_REDUCED, _MASK = 1, 4
"""Bits of a page that is a smaller version or a mask of another."""


@dataclass(frozen=True)
class Tiff:
    """What the tags of a TIFF say.

    Attributes:
        width: Of the first page, in pixels.
        height: Of the first page, in pixels.
        bytes_per_pixel: Of the first page when it is decoded, at least 4.
        pages: How many there are, without those that are a smaller version or a mask of another.
    """

    width: int
    height: int
    bytes_per_pixel: int
    pages: int


def read_tiff(data: bytes) -> Tiff:
    """Reads the tags.

    Args:
        data: The whole file.

    Raises:
        ImageError: The first page is damaged or truncated, or of a kind that cannot be decoded.
        struct.error: The data ends in a tag.
    """
    tags = _Tags(data)
    width, height, samples = tags.largest(256), tags.largest(257), tags.largest(277, 1)
    if samples > 4:
        raise ImageError(f"it is a TIFF of {samples} channels; at most 4 can be read")
    # Tiles are decoded whole, so they take memory as the image does.
    if tags.largest(322) * tags.largest(323) > 2 * width * height + 2**20:
        raise ImageError("its TIFF tiles are far larger than the image")
    for offsets, lengths in ((273, 279), (324, 325)):  # of strips, of tiles
        starts, sizes = tags.values(offsets), tags.values(lengths)
        count = min(len(starts), len(sizes))
        if (starts[:count].astype(float) + sizes[:count] > len(data)).any():
            raise ImageError(TRUNCATED)
    bytes_per_pixel = max(4, samples * -(-tags.largest(258, 1) // 8))
    return Tiff(width, height, bytes_per_pixel, tags.count_pages())


class _Tags:
    """The tags of the first page of a TIFF or BigTIFF, read on demand."""

    _TYPES: ClassVar = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        big = self._read("H", 2) == 43
        self._offset, self._inline, self._entry, self._counter = (
            ("Q", 8, 20, "Q") if big else ("I", 4, 12, "H")
        )
        self._at = self._read(self._offset, self._inline)
        count = self._read(self._counter, self._at)
        first = self._at + struct.calcsize("=" + self._counter)
        if count > _MAX_TAGS or first + count * self._entry > len(data):
            raise ImageError(TRUNCATED)
        self._entries = {
            self._read("H", i): i for i in range(first, first + count * self._entry, self._entry)
        }
        if len(self._entries) < count:  # of a tag that is there twice, readers use one or the other
            raise ImageError("its TIFF tags are damaged")

    def count_pages(self) -> int:
        """How many pages there are, up to one that is damaged, for only the first is decoded."""
        pages, seen, at = 0, set[int](), self._at
        with suppress(struct.error, OverflowError):
            while at and at not in seen and len(seen) < _MAX_PAGES:
                seen.add(at)
                first = at + struct.calcsize("=" + self._counter)
                following = self._read(self._offset, first + self._read(self._counter, at) * self._entry)
                # Tags are in ascending order, and 254 is the lowest.
                kind = self._read("I", first + 4 + self._inline) if self._read("H", first) == 254 else 0
                pages += not kind & (_REDUCED | _MASK)
                at = following
        return max(1, pages)

    def values(self, tag: int) -> NDArray[np.unsignedinteger]:
        """All values of a tag; empty if it is missing."""
        if tag not in self._entries:
            return np.empty(0, np.uint8)
        at = self._entries[tag]
        kind, count = self._read("H", at + 2), self._read(self._offset, at + 4)
        if kind not in self._TYPES:
            raise ImageError("its TIFF tags are damaged")
        dtype = np.dtype(self._order + self._TYPES[kind])
        where = at + 4 + self._inline
        if count * dtype.itemsize > self._inline:
            where = self._read(self._offset, where)
        if where + count * dtype.itemsize > len(self._data):
            raise ImageError(TRUNCATED)
        return np.frombuffer(self._data, dtype, count, where)

    def largest(self, tag: int, default: int = 0) -> int:
        return int(self.values(tag).max(initial=0)) or default

    def _read(self, value: str, at: int) -> int:
        return int(struct.unpack_from(self._order + value, self._data, at)[0])
