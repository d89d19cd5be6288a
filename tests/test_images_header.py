from __future__ import annotations

import struct
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import encode, files_of, in_frames, png_of, scene, tiff_with, with_orientation
from PIL import Image

from yolo_max.images.header import read_header
from yolo_max.support.errors import ImageError

FILES = files_of(scene(48, 64))


@pytest.mark.parametrize("name", FILES)
def test_format_and_size(name: str) -> None:
    header = read_header(FILES[name])
    assert header.format.lower() == name.split(" interlaced")[0].split(" big")[0].split(" ")[0] + (
        " 2000" if "2000" in name else ""
    )
    assert (header.width, header.height) == (64, 48)
    assert header.bytes_per_pixel == 4


@pytest.mark.parametrize(
    ("suffix", "size"),
    [
        (suffix, size)
        for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".avif", ".jp2")
        for size in ((127, 129), (1, 1), (1, 3000), (3000, 1))
        if suffix != ".jp2" or min(size) > 1  # OpenJPEG writes no image of one row or column
    ],
)
def test_sizes_of_what_opencv_writes(suffix: str, size: tuple[int, int]) -> None:
    encoded, data = cv2.imencode(suffix, np.zeros((*size, 3), np.uint8))
    assert encoded
    header = read_header(data.tobytes())
    assert (header.height, header.width) == size


def gif_of(count: int) -> bytes:
    first, *others = (Image.new("RGB", (8, 8), (shade, 0, 99)) for shade in range(count))
    return encode(first, "GIF", save_all=True, append_images=others)


def circular_tiff() -> bytes:
    """A TIFF whose only page is said to be followed by itself."""
    data = bytearray(FILES["tiff"])
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        *((data, 1) for data in FILES.values()),
        (in_frames(scene(), "GIF"), 3),
        (gif_of(200), 200),
        (gif_of(200)[:-50], 199),  # a cut one has those that are begun
        (in_frames(scene(), "WEBP"), 3),
        (in_frames(scene(), "PNG"), 3),
        (in_frames(scene(), "PNG", default_image=True), 3),  # the default image and an animation of two
        # What its animation header claims does not count.
        (FILES["png"][:33] + png_of((b"acTL", b"\xff\xff\xff\xff\0\0\0\0"))[8:] + FILES["png"][33:], 1),
        (in_frames(scene(), "TIFF"), 3),
        (in_frames(scene(), "TIFF", big_tiff=True), 3),
        (circular_tiff(), 1),
        (in_frames(scene(), "MPO"), 1),  # previews and gain maps of cameras look the same
    ],
)
def test_frames_are_counted(data: bytes, frames: int) -> None:
    assert read_header(data).frames == frames


def test_a_smaller_version_or_a_mask_is_no_page() -> None:
    data = bytearray(in_frames(scene(), "TIFF"))
    at = struct.unpack_from("<I", data, 4)[0]
    for kind in (0, 1, 4):  # NewSubfileType, in place of the width, which only the first page needs
        (count,) = struct.unpack_from("<H", data, at)
        if kind:
            struct.pack_into("<HHII", data, at + 2, 254, 4, 1, kind)
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
    assert read_header(bytes(data)).frames == 1


def test_counting_frames_ends() -> None:
    data = FILES["gif"][:-1] + b",\0\0\0\0\x01\0\x01\0\0\x02\0" * 3_000_000
    assert 1000 < read_header(data).frames < 3_000_000


def test_the_stored_size_is_before_any_rotation() -> None:
    header = read_header(with_orientation(scene(48, 64), "JPEG", 6))
    assert (header.width, header.height) == (48, 64)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("name", FILES)
def test_no_prefix_passes_if_the_format_says_its_length(name: str, tenth: int) -> None:
    data = FILES[name][: len(FILES[name]) * tenth // 10]
    # These do not say how long they are; the decoder finds out.
    if name in ("bmp", "gif", "avif", "jpeg", "jpeg 2000 codestream") and tenth:
        return
    with pytest.raises(ImageError):
        read_header(data)


@pytest.mark.parametrize("name", ["png", "webp lossy", "tiff", "tiff lzw"])
def test_one_byte_short_is_truncated(name: str) -> None:
    with pytest.raises(ImageError, match="truncated"):
        read_header(FILES[name][:-1])


def test_a_png_cut_between_its_chunks_is_truncated() -> None:
    """Its header is whole, and is not blamed."""
    with pytest.raises(ImageError, match=r"^it is truncated$"):
        read_header(FILES["png"][:-12])


def test_data_behind_the_image_is_allowed() -> None:
    for name in ("jpeg", "png", "webp lossy", "bmp", "tiff"):
        assert read_header(FILES[name] + b"\0appended by a camera\0" * 50) == read_header(FILES[name])


def test_a_damaged_png_chunk_is_found_by_its_checksum() -> None:
    data = bytearray(FILES["png"])
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ImageError, match="PNG chunks are damaged"):
        read_header(bytes(data))


def test_a_damaged_comment_in_a_png_is_allowed() -> None:
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    data = png_of((b"IHDR", header), (b"tEXt", b"Comment\0hello"), (b"IDAT", b""), (b"IEND", b""))
    assert read_header(data.replace(b"hello", b"jello")).width == 64


def _zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", FILES["jpeg"])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"hello, world\n" * 100, "not an image"),
        (_zip(), "ZIP archive"),
        (b"%PDF-1.7\n...", "PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "boxes are damaged"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 40, "video"),
        (b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40, "sound or video"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\xff\xd8\xff\xd9", "truncated"),
        (b"\xff\xd8\xff" + b"\xff" * 50_000, "markers are damaged"),  # padding without end
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"BM", "truncated"),
        (b"GIF89a", "truncated"),
        (b"GIF89a" + b"\0" * 20, "no size"),
        (b"II*\0\x08\0\0\0\0\0", "no size"),  # a TIFF without tags
        (b"II*\0\xff\xff\xff\x7f", "truncated"),
        (b"MM\0*\0\0\0\x08\xff\xff", "truncated"),
    ],
)
def test_anything_that_is_not_an_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_header(data)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({256: 0}, "no size"),
        ({277: 500}, "500 channels"),
        ({273: 2**31}, "truncated"),  # the pixels begin beyond the end
        ({279: 2**31}, "truncated"),  # there are more than there is file
    ],
)
def test_tiff_tags_that_lie_are_refused(tags: dict[int, int], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_header(tiff_with(tags))


def test_a_tiff_tag_that_is_there_twice_is_refused() -> None:
    # libtiff uses the first of them, and a reader that fills a table the last.
    tags = [(256, 16000), (257, 16000), (256, 8), (257, 8)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    with pytest.raises(ImageError, match="TIFF tags are damaged"):
        read_header(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 64)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_without_a_chunk_header_is_refused(lossless: bool) -> None:
    data = encode(scene(), "WEBP", lossless=lossless)
    raw = data[:4] + struct.pack("<I", len(data) - 16) + data[8:12] + data[20:]
    if lossless:  # which libwebp reads all the same
        assert cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(ImageError, match="WebP chunks are damaged"):
        read_header(raw)


def test_a_tiff_whose_tiles_dwarf_it_is_refused() -> None:
    tags = {256: 8, 257: 8, 322: 60000, 323: 60000}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 64
    with pytest.raises(ImageError, match="tiles"):
        read_header(data)


def test_a_tag_of_a_billion_values_costs_nothing() -> None:
    entries = struct.pack("<HHII", 256, 4, 2**30, 8) + struct.pack("<HHII", 257, 4, 1, 8)
    with pytest.raises(ImageError, match="truncated"):
        read_header(b"II*\0\x08\0\0\0\x02\0" + entries + b"\0" * 64)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + b"\xff" * 20_000_000,  # JPEG padding
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 5_000_000,  # empty JPEG segments
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 2_500_000,  # empty JPEG 2000 boxes
        png_of((b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)))
        + png_of((b"tEXt", b""))[8:] * 1_500_000,
    ],
)
def test_millions_of_empty_segments_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="damaged"):
        read_header(data)


@given(st.binary(max_size=300), st.sampled_from(sorted(FILES)), st.integers(0, 400))
def test_nothing_but_image_errors_come_of_garbage(garbage: bytes, name: str, at: int) -> None:
    data = FILES[name]
    for attempt in (garbage, data[:at] + garbage, data[:at] + garbage + data[at + len(garbage) :]):
        with suppress(ImageError):
            header = read_header(attempt)
            assert header.width > 0
            assert header.height > 0


def test_photographs_have_the_size_that_opencv_finds(photographs: list[Path]) -> None:
    for path in photographs:
        data = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert image is not None
        header = read_header(data)
        assert (header.format, header.height, header.width) == ("JPEG", *image.shape[:2])
