"""The boxes of an ISO media file (ISO/IEC 14496-12), of which HEIC and AVIF are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from yolo_max.images.chunks import TRUNCATED
from yolo_max.support.errors import ImageError

DAMAGED = "its boxes are damaged"
_MAX_BOXES = 10_000

Box = tuple[bytes, int, int]
"""(kind, start, end); the range is the box's content."""


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes of a range, up to the first that does not fit in it.

    Raises:
        ImageError: That one is the file's pictures.
    """
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        length = length or end - start
        if kind == b"mdat" and length > end - start:  # some tiles may be there, and libheif paints the others
            raise ImageError(TRUNCATED)
        if not content - start <= length <= end - start:
            return
        yield kind, content, start + length
        start += length


def occurrences(data: bytes, kind: bytes, start: int, end: int) -> Iterator[int]:
    """Where the contents of all boxes of a kind begin, however deep they lie.

    Raises:
        ImageError: There are more than in any real image.
    """
    for _ in range(_MAX_BOXES):
        start = data.find(kind, start, end) + 4
        if start < 4:
            return
        yield start
    raise ImageError(DAMAGED)
