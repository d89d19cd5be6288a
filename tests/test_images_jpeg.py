from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from image_files import encode, files_of, jpeg_header_only, pil, scene
from PIL import Image

from yolo_max.images.header import read_header
from yolo_max.images.jpeg import read_jpeg
from yolo_max.images.read import decode
from yolo_max.support.errors import ImageError

SCENE = scene(120, 160)
END = b"\xff\xd9"


def by_opencv(restart: int) -> bytes:
    encoded, data = cv2.imencode(".jpg", SCENE, [cv2.IMWRITE_JPEG_RST_INTERVAL, restart])
    assert encoded
    return data.tobytes()


JPEGS = {
    "baseline": encode(SCENE, "JPEG", quality=90),
    "no subsampling": encode(SCENE, "JPEG", quality=90, subsampling=0),
    "gray": encode(Image.fromarray(SCENE[:, :, 0]), "JPEG"),
    "cmyk": encode(Image.fromarray(SCENE).convert("CMYK"), "JPEG"),
    "progressive": encode(SCENE, "JPEG", quality=90, progressive=True),
    "progressive, gray": encode(Image.fromarray(SCENE[:, :, 0]), "JPEG", progressive=True),
    "restarts": by_opencv(1),
    "restarts, rarely": by_opencv(20),
    "one color": encode(np.full((64, 64, 3), 128, np.uint8), "JPEG"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_markers(name: str) -> None:
    jpeg = read_jpeg(JPEGS[name])
    assert (jpeg.width, jpeg.height) == Image.open(BytesIO(JPEGS[name])).size
    assert jpeg.progressive == name.startswith("progressive")
    assert (jpeg.scans > 1) == jpeg.progressive
    assert jpeg.ended
    assert jpeg.has_every_scan


@pytest.mark.parametrize("rest", [b"", b"\xff"])
@pytest.mark.parametrize("name", JPEGS)
def test_without_its_end_marker_a_jpeg_is_whole(
    name: str, rest: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = JPEGS[name]
    assert whole.endswith(END)
    assert not read_header(whole[:-2] + rest).ended
    np.testing.assert_array_equal(decode(whole[:-2] + rest), decode(whole))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_is_truncated_wherever_it_is_cut(name: str) -> None:
    whole = JPEGS[name]
    scan = whole.index(b"\xff\xda")
    restarts = [at for at in range(scan, len(whole)) if whole[at] == 0xFF and whole[at + 1] & 0xF8 == 0xD0]
    scans = [at for at in range(scan + 1, len(whole)) if whole[at : at + 2] in (b"\xff\xda", b"\xff\xc4")]
    ends = range(len(whole) - 12, len(whole) - 2)
    cuts = {*np.linspace(scan, len(whole) - 12, 40, dtype=int), *ends, *restarts[::7], *restarts[-1:], *scans}
    for cut in cuts:
        with pytest.raises(ImageError, match="truncated"):
            decode(whole[:cut])


def test_a_jpeg_cut_in_its_picture_is_truncated_although_its_thumbnail_is_whole() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = encode(scene(16, 16), "JPEG")  # carried in the maker note
    data = encode(scene(200, 200), "JPEG", exif=exif)
    assert data.count(END) == 2
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: len(data) * 9 // 10])


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xd8\xff\xe0",  # another file begins
        b"\xff\x01",  # a marker without a meaning in a scan
        b"\xff\xc0",  # another frame
        b"\xff\xe1\x40\x40",  # a segment that ends anywhere
    ],
)
def test_a_marker_in_the_middle_of_a_scan_is_damage(damage: bytes) -> None:
    # Decoders stop there and leave the rest gray.
    data = bytearray(JPEGS["baseline"])
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    data[middle : middle + len(damage)] = damage
    with pytest.raises(ImageError, match=r"JPEG markers are damaged|truncated"):
        decode(bytes(data))


SIZE_OF_ANOTHER = jpeg_header_only(32000, 32000)


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\0" + struct.pack(">H", 21),  # decoders skip a zero marker, and do not read a length
        b"\xff\xe0\0\0",  # or the two bytes of this one
        b"\xff\xe0\0\x01",
        b"\0",  # or whatever lies between segments
    ],
)
def test_segments_that_decoders_read_in_another_way_are_refused(before: bytes) -> None:
    hidden = SIZE_OF_ANOTHER[SIZE_OF_ANOTHER.index(b"\xff\xc0") :][:19]
    for body in (before + hidden, before):
        with pytest.raises(ImageError, match="JPEG markers are damaged"):
            read_header(JPEGS["baseline"].replace(b"\xff\xdb", body + b"\xff\xdb", 1))


def test_a_second_frame_header_is_refused() -> None:
    at = JPEGS["baseline"].index(b"\xff\xc0")
    for first, second in ((JPEGS["baseline"], SIZE_OF_ANOTHER), (SIZE_OF_ANOTHER, JPEGS["baseline"])):
        other = second[second.index(b"\xff\xc0") :][:19]
        with pytest.raises(ImageError, match="JPEG markers are damaged"):
            read_header(first[:at] + other + first[at:])


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there more than once."""
    data = files_of(scene())["jpeg progressive"]
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + END


def test_hundreds_of_scans_are_refused() -> None:
    assert read_jpeg(with_scans(100)).scans == 100
    for data in (with_scans(101), with_scans(500), with_scans(500)[:-2]):
        with pytest.raises(ImageError, match="a JPEG of more than 100 scans"):
            decode(data)


def photograph(size: int = 400) -> Image.Image:
    """Something with detail everywhere, as photographs have."""
    noise = np.random.default_rng(0).integers(0, 60, (size, size, 3), np.uint8)
    return pil(scene(size, size) // 2 + noise)


@pytest.mark.parametrize("zeros", [512, 4096])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimize": True},
        {"subsampling": 0},
        {"restart_marker_rows": 1},
        {"quality": 95},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_sector_of_zeros_is_damage(mode: str, options: dict[str, Any], place: float, zeros: int) -> None:
    data = encode(photograph().convert(mode), "JPEG", **options)
    at = int(place * (len(data) - 1000 - zeros)) + 1000
    with pytest.raises(ImageError, match="overwritten by zeros"):
        read_header(data[:at] + bytes(zeros) + data[at + zeros :])


def on_black(size: int) -> Image.Image:
    image = Image.new("RGB", (size, size))
    image.paste(photograph(64), (size // 2, size // 2))
    return image


PLAIN: dict[str, Image.Image] = {
    "black": Image.new("RGB", (2000, 2000)),
    "white": Image.new("RGB", (2000, 2000), "white"),
    "gray": Image.new("L", (2000, 2000), 128),
    "on black": on_black(2000),
    "ramp": pil(np.dstack([np.arange(1024, dtype=np.uint8)[None].repeat(1024, 0)] * 3)),
    "dots": pil(np.where(np.indices((1024, 1024, 3))[:2].max(axis=0) % 8, 255, 0).astype(np.uint8)),
}


@pytest.mark.parametrize(
    "options",
    [
        {"optimize": True},
        {"optimize": True, "subsampling": 0},
        {"progressive": True},
        {"optimize": True, "quality": 20},
        {},
    ],
)
@pytest.mark.parametrize("name", PLAIN)
def test_honest_zeros_are_none(name: str, options: dict[str, Any]) -> None:
    data = encode(PLAIN[name], "JPEG", **options)
    if name in ("black", "on black") and "optimize" in options:
        assert bytes(512) in data
    assert decode(data).shape[:2] == PLAIN[name].size[::-1]


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_padding_behind_the_last_pixel_is_no_damage(end: bytes) -> None:
    image = photograph()
    data = encode(image, "JPEG")
    padded = data.removesuffix(b"\xff\xd9") + bytes(4096) + end
    np.testing.assert_array_equal(decode(padded), decode(data))
    np.testing.assert_array_equal(decode(data + bytes(4096)), decode(data))
