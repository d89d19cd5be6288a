"""The chunks of a PNG or WebP file, and the blocks of a GIF."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

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


def gif_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Iterates over the frames of a GIF, as far as its blocks are there.

    Yields:
        (right, bottom) of each frame, in pixels of the logical screen, which it may exceed.
    """

    def behind_table(at: int, flags: int) -> int:
        return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)

    at, in_blocks = behind_table(13, data[10]), False
    with suppress(IndexError, struct.error):  # it is cut
        for _ in range(_MAX_CHUNKS):
            kind = data[at]
            if in_blocks:
                at, in_blocks = at + 1 + kind, kind > 0
            elif kind == 0x2C:  # a frame: its place, its colors, the size of its codes, and its blocks
                left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
                yield left + width, top + height
                at, in_blocks = behind_table(at + 10, flags) + 1, True
            elif kind == 0x21:  # an extension
                at, in_blocks = at + 2, True
            else:
                break
