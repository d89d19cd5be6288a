"""Format and size of an image file, from its headers, before anything is decoded.

The content decides, never the name. The size is checked first so that a small file that claims to be enormous
takes no memory; the end of the data is looked for so that half an image does not pass for a whole one.
Parsing takes microseconds and raises only `ImageError`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from yolo_max.images.chunks import TRUNCATED, gif_frames, png_chunks, webp_chunks
from yolo_max.images.heif import heif_format, heif_header
from yolo_max.images.jpeg import read_jpeg
from yolo_max.images.tiff import read_tiff
from yolo_max.support.errors import ImageError, ImageFormatError

_MAX_BOXES = 10_000
"""A hostile file may hold nothing but tiny boxes; no real image comes near this number."""


@dataclass(frozen=True)
class ImageHeader:
    """Format and size of an encoded image.

    Attributes:
        format: "JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "JPEG 2000", "AVIF" or "HEIC".
        width: In pixels, as stored (before any rotation).
        height: In pixels, as stored.
        bytes_per_pixel: Of the decoded image; more than 4 for deep TIFF only.
        ended: False for a JPEG without its end marker, whose pixels may all be there.
        frames: How many frames or pages there are, of which only one is decoded. Pictures behind the end of a
            JPEG do not count, for they are mostly previews and gain maps.
    """

    format: str
    width: int
    height: int
    bytes_per_pixel: int = 4
    ended: bool = True
    frames: int = 1


def require_signature(start: bytes) -> None:
    """Checks that a file begins like an image, so that others need not be read.

    Args:
        start: The first `SIGNATURE_BYTES` of the file, or the whole file.

    Raises:
        ImageError: It does not.
    """
    _parser_of(start)


def read_header(data: bytes) -> ImageHeader:
    """Identifies an encoded image.

    Args:
        data: The whole file.

    Returns:
        Its format and size, both sides at least 1.

    Raises:
        ImageError: The data is not an image of a supported format, is damaged, or lacks its end.
    """
    parse = _parser_of(data)
    try:
        header = parse(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:  # a read beyond the end
        raise ImageError(TRUNCATED) from error
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
    frames, shown = 0, False  # in the animation; whether the default image is one of them
    for kind, start, end in png_chunks(view):
        frames += kind == b"fcTL"
        shown |= frames > 0 and kind == b"IDAT"
        # A capital initial marks the chunks that a decoder cannot do without.
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        if kind[:1].isupper() and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise ImageError("its PNG chunks are damaged")
    return ImageHeader("PNG", width, height, frames=frames + (not shown))


def _webp(data: bytes) -> ImageHeader:
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
    frames = sum(chunk == b"ANMF" for chunk, _, _ in webp_chunks(data)) if kind == b"VP8X" else 1
    return ImageHeader("WebP", width, height, frames=max(1, frames))


def _bmp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", abs(width), abs(height))  # negative: rows run from top to bottom


def _gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    frames = gif_frames(data)
    right, bottom = next(frames, (0, 0))  # a decoder extends the screen to hold the first frame
    return ImageHeader("GIF", max(width, right), max(height, bottom), frames=1 + sum(1 for _ in frames))


def _tiff(data: bytes) -> ImageHeader:
    tiff = read_tiff(data)
    return ImageHeader("TIFF", tiff.width, tiff.height, tiff.bytes_per_pixel, frames=tiff.pages)


def _jpeg_2000(data: bytes) -> ImageHeader:
    at = 0
    for _ in range(_MAX_BOXES):  # boxes, up to the codestream
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


def _heif(data: bytes) -> ImageHeader:
    format_name = heif_format(data)
    if format_name is None:
        raise ImageFormatError(_not_supported(data))
    width, height, pictures = heif_header(data)
    return ImageHeader(format_name, width, height, frames=pictures)


_PARSERS = tuple(
    (re.compile(signature, re.DOTALL), parse)
    for signature, parse in (
        (rb"\xff\xd8\xff", _jpeg),
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"RIFF....WEBP", _webp),
        (rb"BM", _bmp),
        (rb"GIF8[79]a", _gif),
        (rb"II[*+]\0|MM\0[*+]", _tiff),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _jpeg_2000),
        (rb"\0\0..ftyp(?=.{0,500}(avi|hei|hev|mif1|msf1))", _heif),
    )
)

SIGNATURE_BYTES = 512

SUPPORTED = "JPEG, PNG, WebP, BMP, GIF, TIFF, JPEG 2000, AVIF and HEIC"


def _parser_of(data: bytes) -> Callable[[bytes], ImageHeader]:
    if not data:
        raise ImageError("it is empty")
    parse = next((parse for signature, parse in _PARSERS if signature.match(data)), None)
    if parse is None:
        raise ImageFormatError(_not_supported(data))
    return parse


def _not_supported(data: bytes) -> str:
    """Says what the data is instead of a supported image."""
    start = data[:SIGNATURE_BYTES].lstrip().lower()
    kind = "not an image"
    if data[4:8] == b"ftyp":
        kind = "a video"
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
