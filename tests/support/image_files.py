"""Image files of every kind that the tests need, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def scene(height: int = 48, width: int = 64) -> Pixels:
    """A smooth BGR image without symmetry, which survives lossy formats."""
    y, x = np.mgrid[:height, :width]
    blue = 255 * (1 - x / width)
    green = 60 + 40 * np.sin(x / 9) * np.cos(y / 7)
    red = 255 * y / height
    pixels: Pixels = np.rint(np.dstack([blue, green, red])).astype(np.uint8)
    return pixels


def pil(bgr: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1]))


def encode(image: Image.Image | Pixels, format_name: str, **options: Any) -> bytes:
    """Encodes with Pillow; arrays are BGR."""
    buffer = io.BytesIO()
    (pil(image) if isinstance(image, np.ndarray) else image).save(buffer, format_name, **options)
    return buffer.getvalue()


def encode_cv2(pixels: NDArray[Any], suffix: str) -> bytes:
    encoded, data = cv2.imencode(suffix, pixels)
    assert encoded
    return data.tobytes()


def files_of(bgr: Pixels) -> dict[str, bytes]:
    """The same picture in every supported format, in several variants of some."""
    return {
        "jpeg": encode(bgr, "JPEG", quality=95, subsampling=0),
        "jpeg progressive": encode(bgr, "JPEG", quality=95, subsampling=0, progressive=True),
        "png": encode(bgr, "PNG"),
        "png interlaced": _interlaced(bgr),
        "webp lossless": encode(bgr, "WEBP", lossless=True),
        "webp lossy": encode(bgr, "WEBP", quality=95),
        "webp extended": encode(bgr, "WEBP", lossless=True, exif=Image.Exif().tobytes()),
        "bmp": encode(bgr, "BMP"),
        "gif": encode(bgr, "GIF"),
        "tiff": encode(bgr, "TIFF"),
        "tiff lzw": encode(bgr, "TIFF", compression="tiff_lzw"),
        "tiff deflate": encode(bgr, "TIFF", compression="tiff_deflate"),
        "tiff big-endian": encode(pil(bgr), "TIFF", big_tiff=False, tiffinfo={}),
        "tiff big": encode(bgr, "TIFF", big_tiff=True),
        "jpeg 2000": encode(bgr, "JPEG2000"),
        "jpeg 2000 codestream": encode(bgr, "JPEG2000", no_jp2=True),
        "avif": encode(bgr, "AVIF", quality=95, subsampling="4:4:4"),
    }


def in_frames(bgr: Pixels, format_name: str, **options: Any) -> bytes:
    """A file of several frames or pages, the picture first."""
    later = [Image.new("RGB", bgr.shape[1::-1], color) for color in ("white", "black")]
    return encode(bgr, format_name, save_all=True, append_images=later, **options)


def in_parts_of(bgr: Pixels) -> dict[str, bytes]:
    """The same picture as the first of several, or in tiles."""
    return {
        "png animated": in_frames(bgr, "PNG"),
        "png with a default image": in_frames(bgr, "PNG", default_image=True),
        "gif animated": in_frames(bgr, "GIF"),
        "webp animated": in_frames(bgr, "WEBP", lossless=True),
        "webp animated, lossy": in_frames(bgr, "WEBP", quality=95),
        "avif animated": in_frames(bgr, "AVIF", quality=95, subsampling="4:4:4"),
        "jpeg of several": in_frames(bgr, "MPO", quality=95, subsampling=0),
        "tiff pages": in_frames(bgr, "TIFF"),
        "tiff pages, lzw": in_frames(bgr, "TIFF", compression="tiff_lzw"),
        "tiff tiled": tiled_tiff(bgr),
        "tiff tiled, deflate": tiled_tiff(bgr, compressed=True),
    }


def heic(*images: Image.Image | Pixels, **options: Any) -> bytes:
    """A HEIC of some images, as they are but for rounding; arrays are BGR. Needs pillow-heif."""
    import pillow_heif

    file, buffer = pillow_heif.HeifFile(), io.BytesIO()
    for image in images:
        file.add_from_pillow(pil(image) if isinstance(image, np.ndarray) else image)
    file.save(buffer, **{"quality": -1, "chroma": 444, **options})
    return buffer.getvalue()


def heic_files(bgr: Pixels) -> dict[str, bytes]:
    """The same picture in HEIC files of several kinds."""
    later = Image.new("RGB", bgr.shape[1::-1], "white")
    alpha = Image.fromarray(np.dstack([bgr[:, :, ::-1], bgr[:, ::-1, 0]]))
    return {
        "heic": heic(bgr),
        "heic with metadata": heic(bgr, exif=Image.Exif().tobytes(), xmp=b"<x/>"),
        "heic in tiles": heic(bgr, tile_size=64),
        "heic with a thumbnail": heic(bgr, thumbnails=[32]),
        "heic with alpha": heic(alpha),
        "heic of several": heic(bgr, later, later),
        "heic whose second is primary": heic(later, bgr, later, primary_index=1),
    }


def tiled_tiff(bgr: Pixels, *, compressed: bool = False, side: int = 32) -> bytes:
    """A TIFF in square tiles, which Pillow cannot write."""
    height, width = bgr.shape[:2]
    padded = np.pad(bgr[:, :, ::-1], ((0, -height % side), (0, -width % side), (0, 0)))
    tiles = [
        padded[y : y + side, x : x + side].tobytes()
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]
    if compressed:
        tiles = [zlib.compress(tile) for tile in tiles]
    lengths = [len(tile) for tile in tiles]
    offsets = [8 + sum(lengths[:i]) for i in range(len(tiles))]
    pixels = b"".join(tiles)
    tags: list[tuple[int, str, list[int]]] = [
        (256, "H", [width]),
        (257, "H", [height]),
        (258, "H", [8, 8, 8]),
        (259, "H", [8 if compressed else 1]),
        (262, "H", [2]),  # RGB
        (277, "H", [3]),
        (322, "H", [side]),
        (323, "H", [side]),
        (324, "I", offsets),
        (325, "I", lengths),
    ]
    start = 8 + len(pixels)
    entries, behind = b"", b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            where = start + 2 + 12 * len(tags) + 4 + len(behind)
            packed, behind = struct.pack("<I", where), behind + packed
        entries += struct.pack("<HHI4s", tag, {"H": 3, "I": 4}[kind], len(values), packed)
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + pixels
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
        + behind
    )


def _interlaced(bgr: Pixels) -> bytes:
    """A PNG in Adam7 order, which Pillow cannot write."""
    rgb = bgr[:, :, ::-1]
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b"".join(
        b"\0" + row.tobytes()
        for y, x, down, right in passes
        for row in rgb[y::down, x::right]
        if rgb[y::down, x::right].size
    )
    header = struct.pack(">IIBBBBB", bgr.shape[1], bgr.shape[0], 8, 2, 0, 0, 1)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, with their checksums right."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def with_orientation(bgr: Pixels, format_name: str, orientation: int, **options: Any) -> bytes:
    """A file whose stored pixels are turned so that the EXIF tag restores ``bgr``."""
    turned = {
        1: bgr,
        2: bgr[:, ::-1],
        3: bgr[::-1, ::-1],
        4: bgr[::-1],
        5: bgr.transpose(1, 0, 2),
        6: bgr.transpose(1, 0, 2)[::-1],
        7: bgr.transpose(1, 0, 2)[::-1, ::-1],
        8: bgr.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(np.ascontiguousarray(turned), format_name, exif=exif, **options)


def png_header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))


def jpeg_header_only(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(encode(scene(8, 8), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_header_only(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(8, 8), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_header_only(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(8, 8), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_frame_only(width: int, height: int) -> bytes:
    """A GIF of one pixel whose first frame claims that size."""
    data = bytearray(gif_header_only(1, 1))
    struct.pack_into("<HH", data, data.index(b",\0\0\0\0\x08\0\x08\0") + 5, width, height)
    return bytes(data)


def webp_header_only(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(8, 8), "WEBP", lossless=True, exif=Image.Exif().tobytes()))
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def tiff_with(entries: dict[int, int], pixels: Pixels | None = None) -> bytes:
    """A TIFF some of whose tags are overwritten by these numbers."""
    data = bytearray(encode(scene(8, 8) if pixels is None else pixels, "TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    found = set()
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in entries:
            struct.pack_into({3: "<H", 4: "<I"}[kind], data, at + 8, entries[tag])
            found.add(tag)
    assert found == entries.keys()
    return bytes(data)


def jpeg_2000_header_only(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(8, 8), "JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 8 : at + 16] = struct.pack(">II", width, height)
    return bytes(data)
