"""The first picture of a file, which is all that a decoder is given.

Only the first frame of an animation is used, and decoders of the others are young: OpenCV 5.0 crashes on a
damaged APNG. So OpenCV is given a PNG or WebP with nothing but the picture and its orientation. Of a GIF or
AVIF Pillow decodes only the first frame, and of a TIFF OpenCV only the first page.
"""

from __future__ import annotations

import struct

from yolo_max.images.chunks import png_chunks, webp_chunks

_PNG_SIDE_CHUNKS = (b"tRNS", b"eXIf")
"""The optional chunks that a picture depends on."""


def still(data: bytes, format_name: str) -> bytes | bytearray:
    """Removes from an image file what does not belong to its first picture.

    Args:
        data: The whole file, as `yolo_max.images.header.read_header` accepted it.
        format_name: As it is named there.

    Returns:
        A file of the same format. An animated PNG is reduced to its default image, which is the first frame
        unless the animation begins with another one.

    Raises:
        ImageError: It has more chunks than any real image.
    """
    if format_name == "PNG":
        return _png(memoryview(data))
    if format_name == "WebP" and data[12:16] == b"VP8X":
        return _webp(memoryview(data))
    return data


def _png(data: memoryview) -> bytearray:
    kept = bytearray(data[:8])
    for kind, start, end in png_chunks(data):
        if kind[:1].isupper() or kind in _PNG_SIDE_CHUNKS:
            kept += data[start:end]
    return kept


def _webp(data: memoryview) -> bytearray:
    kept, frames = bytearray(b"RIFF\0\0\0\0WEBP"), 0
    for kind, start, end in webp_chunks(data):
        frames += kind == b"ANMF"
        if kind != b"ANMF" or frames == 1:
            kept += data[start:end]
    struct.pack_into("<I", kept, 4, len(kept) - 8)
    return kept
