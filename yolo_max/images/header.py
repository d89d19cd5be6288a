"""Format and size of an image file, from its headers, before anything is decoded.

The content decides, never the name. The size is checked first so that a small file that claims to be enormous
takes no memory; the end of the data is looked for so that half an image does not pass for a whole one.
Parsing takes microseconds and raises only `ImageError`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.chunks import TRUNCATED, png_chunks
from yolo_max.images.jpeg import read_jpeg
from yolo_max.support.errors import ImageError

_MAX_SEGMENTS = 10_000
"""A hostile file may hold nothing but tiny segments; no real image comes near this number."""


@dataclass(frozen=True)
class ImageHeader:
    """Format and size of an encoded image.

    Attributes:
        format: "JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "JPEG 2000" or "AVIF".
        width: In pixels, as stored (before any EXIF rotation).
        height: In pixels, as stored.
        bytes_per_pixel: Of the decoded image; more than 4 for deep TIFF only.
        ended: False for a JPEG without its end marker, whose pixels may all be there.
    """

    format: str
    width: int
    height: int
    bytes_per_pixel: int = 4
    ended: bool = True


def read_header(data: bytes) -> ImageHeader:
    """Identifies an encoded image.

    Args:
        data: The whole file.

    Returns:
        Its format and size, both sides at least 1.

    Raises:
        ImageError: The data is not an image of a supported format, is damaged, or lacks its end.
    """
    if not data:
        raise ImageError("it is empty")
    parse = next((parse for signature, parse in _PARSERS if data.startswith(signature)), None)
    if parse is None:
        raise ImageError(_not_supported(data))
    try:
        header = parse(data)
    except (struct.error, IndexError, OverflowError) as error:  # a read beyond the end
        raise ImageError(f"{TRUNCATED} inside its header") from error
    if header.width < 1 or header.height < 1:
        raise ImageError(f"its {header.format} header gives it no size ({header.width} x {header.height})")
    return header


def _jpeg(data: bytes) -> ImageHeader:
    jpeg = read_jpeg(data)
    return ImageHeader("JPEG", jpeg.width, jpeg.height, ended=jpeg.ended)


def _png(data: bytes) -> ImageHeader:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if (length, kind) != (13, b"IHDR"):
        raise ImageError("its PNG header is damaged")
    view = memoryview(data)
    for kind, start, end in png_chunks(view):
        # A capital initial marks the chunks that a decoder cannot do without.
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        if kind[:1].isupper() and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise ImageError("its PNG chunks are damaged")
    return ImageHeader("PNG", width, height)


def _webp(data: bytes) -> ImageHeader:
    if data[8:12] != b"WEBP":
        raise ImageError(_not_supported(data))
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise ImageError(TRUNCATED)
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:  # without a chunk header, decoders read the size from other bytes
        raise ImageError("its WebP chunks are damaged")
    return ImageHeader("WebP", width, height)


def _bmp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", abs(width), abs(height))  # negative: rows run from top to bottom


def _gif(data: bytes) -> ImageHeader:
    return ImageHeader("GIF", *struct.unpack_from("<HH", data, 6))


def _tiff(data: bytes) -> ImageHeader:
    tags = _TiffTags(data)
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
    return ImageHeader("TIFF", width, height, max(4, samples * -(-tags.largest(258, 1) // 8)))


class _TiffTags:
    """The tags of the first page of a TIFF or BigTIFF, read on demand."""

    _TYPES: ClassVar = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        self._big = self._read("H", 2) == 43
        self._offset, self._inline, entry, counter = ("Q", 8, 20, "Q") if self._big else ("I", 4, 12, "H")
        at = self._read(self._offset, self._inline)
        count = self._read(counter, at)
        first = at + struct.calcsize("=" + counter)
        if count > _MAX_SEGMENTS or first + count * entry > len(data):
            raise ImageError(TRUNCATED)
        self._entries = {self._read("H", i): i for i in range(first, first + count * entry, entry)}
        if len(self._entries) < count:  # of a tag that is there twice, readers use one or the other
            raise ImageError("its TIFF tags are damaged")

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


def _jpeg_2000(data: bytes) -> ImageHeader:
    at = 0
    for _ in range(_MAX_SEGMENTS):  # boxes, up to the codestream
        if data.startswith(b"\xff\x4f\xff\x51", at):
            right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
            return ImageHeader("JPEG 2000", right - left, bottom - top)
        length, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        if length and at + length > len(data):
            raise ImageError(TRUNCATED)
        if kind == b"jp2c":
            at += header
        elif length >= header:
            at += length
        else:
            break
    raise ImageError("its JPEG 2000 boxes are damaged")


def _avif(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from(">I", data, 0)
    if data[4:8] != b"ftyp" or b"avi" not in data[8 : min(length, 1024)]:  # the brands avif and avis
        raise ImageError(_not_supported(data))
    # A grid has one size per tile and one for the whole image.
    largest, at, meta = (0, 0), 0, data[: 2**20]
    while (at := meta.find(b"ispe", at) + 4) > 3:
        width, height = struct.unpack_from(">II", meta, at + 4)
        largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
    return ImageHeader("AVIF", *largest)


_PARSERS = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"BM", _bmp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"II+\0", _tiff),
    (b"MM\0+", _tiff),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", _jpeg_2000),
    (b"\xff\x4f\xff\x51", _jpeg_2000),
    (b"\x00\x00\x00", _avif),
)

SUPPORTED = "JPEG, PNG, WebP, BMP, GIF, TIFF, JPEG 2000 and AVIF"


def _not_supported(data: bytes) -> str:
    """Says what the data is instead of a supported image."""
    start = data[:512].lstrip().lower()
    kind = "not an image"
    if data[4:8] == b"ftyp":
        kind = "a HEIC image" if data[8:12] in (b"heic", b"heix", b"mif1", b"msf1") else "a video"
    elif data.startswith(b"RIFF"):
        kind = "a sound or video"
    elif data.startswith(b"PK\x03\x04"):
        kind = "a ZIP archive"
    elif start.startswith(b"%pdf"):
        kind = "a PDF"
    elif b"<svg" in start:
        kind = "an SVG drawing"
    elif not data.strip(b"\0"):
        kind = "nothing but zeros"
    return f"it is {kind}; {SUPPORTED} can be read"
