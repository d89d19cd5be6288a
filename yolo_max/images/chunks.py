"""The chunks of a PNG or WebP file."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from yolo_max.support.errors import ImageError

TRUNCATED = "it is truncated"

_MAX_CHUNKS = 1_000_000
"""A hostile file may hold nothing but empty chunks; no real image comes near this number."""


def png_chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Iterates over the chunks of a PNG.

    Yields:
        (kind, start, end) of each chunk up to IEND; the range includes length and checksum.

    Raises:
        ImageError: The data ends before IEND, or there are more chunks than in any real image.
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
    """Iterates over the chunks of a WebP.

    Yields:
        (kind, start, end) of each chunk; the range includes header and padding, and the last one may end
        beyond the data.

    Raises:
        ImageError: There are more chunks than in any real image.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at > size:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        yield kind, at, end
        at = end
    raise ImageError("its WebP chunks are damaged")
