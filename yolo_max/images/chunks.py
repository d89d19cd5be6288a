"""The chunks that a PNG or a WebP consists of."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from yolo_max.support.errors import ImageError

TRUNCATED = "it is truncated"

_MAX_CHUNKS = 1_000_000
"""A file can be made of nothing but empty chunks; no real image comes near this number."""


def png_chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Walks through a PNG.

    Yields:
        The kind of each chunk up to the end of the image, and where it starts and ends, length and checksum
        included.

    Raises:
        ImageError: The data ends before the image does, or there are more chunks than in any real image.
    """
    at = 8
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageError(TRUNCATED)
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise ImageError("its PNG chunks are damaged")


def webp_chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Walks through a WebP.

    Yields:
        The kind of each chunk, and where it starts and ends, length and padding included; the last may end
        beyond the data.

    Raises:
        ImageError: There are more chunks than in any real image.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at > size:  # less than a chunk is left
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        yield kind, at, end
        at = end
    raise ImageError("its WebP chunks are damaged")
