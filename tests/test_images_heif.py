from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from image_files import encode, heic, heic_files, in_frames, pil, scene
from PIL import Image

from yolo_max.images.header import read_header
from yolo_max.images.read import decode, read_picture
from yolo_max.support.errors import ImageError

pillow_heif = pytest.importorskip("pillow_heif")

SCENE = scene(96, 160)
GRAY = SCENE[:, :, 2]
FILES = heic_files(SCENE)


def replaced(data: bytes, kind: bytes, offset: int, layout: str, *values: int) -> bytes:
    """The file with other numbers in all its boxes of a kind."""
    changed, at = bytearray(data), 0
    while (at := data.find(kind, at) + 4) > 3:
        struct.pack_into(layout, changed, at + offset, *values)
    return bytes(changed)


@pytest.mark.parametrize("name", FILES)
def test_a_heic_gives_its_primary_picture(name: str) -> None:
    image = decode(FILES[name])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_allclose(image.astype(int), SCENE, rtol=0, atol=2)


def deep() -> bytes:
    """Ten bits per channel."""
    file, buffer = pillow_heif.HeifFile(), io.BytesIO()
    pixels = SCENE[:, :, ::-1].astype("<u2") * 257
    file.add_frombytes("RGB;16", SCENE.shape[1::-1], pixels.tobytes())
    file.save(buffer, quality=-1, chroma=444)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "expected", "tolerance"),
    [
        (deep(), SCENE, 2),
        (heic(Image.fromarray(GRAY)), np.repeat(GRAY[..., None], 3, axis=2), 2),
        (
            heic(Image.fromarray(np.dstack([GRAY, GRAY[:, ::-1]]), "LA")),
            np.repeat(GRAY[..., None], 3, axis=2),
            2,
        ),
        (heic(SCENE, quality=95, chroma=420), SCENE, 24),  # as cameras write it
    ],
)
def test_kinds_of_pixels(data: bytes, expected: np.ndarray, tolerance: int) -> None:
    np.testing.assert_allclose(decode(data).astype(int), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(orientation: int) -> None:
    # The encoder turns EXIF's orientation into properties of the image, and leaves the tag.
    turned = {
        1: SCENE,
        2: SCENE[:, ::-1],
        3: SCENE[::-1, ::-1],
        4: SCENE[::-1],
        5: SCENE.transpose(1, 0, 2),
        6: SCENE.transpose(1, 0, 2)[::-1],
        7: SCENE.transpose(1, 0, 2)[::-1, ::-1],
        8: SCENE.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file, buffer = pillow_heif.HeifFile(), io.BytesIO()
    rgb = np.ascontiguousarray(turned[:, :, ::-1])
    file.add_frombytes("RGB", rgb.shape[1::-1], rgb.tobytes()).info["exif"] = exif.tobytes()
    file.save(buffer, quality=-1, chroma=444)
    data = buffer.getvalue()
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    np.testing.assert_allclose(decode(data).astype(int), SCENE, rtol=0, atol=2)
    # Without the properties the tag counts for nothing, as the standard has it.
    unturned = data.replace(b"irot", b"free").replace(b"imir", b"free")
    if orientation > 1:
        assert decode(unturned).shape == turned.shape


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (FILES["heic"], (160, 96)),
        (FILES["heic in tiles"], (160, 96)),  # the tiles' size is 64 x 64
        (heic(Image.new("RGB", (3, 5))), (64, 64)),  # HEVC codes no less
        (heic(Image.new("RGB", (1000, 10))), (1000, 64)),
    ],
)
def test_format_and_size(data: bytes, size: tuple[int, int]) -> None:
    header = read_header(data)
    assert (header.format, header.width, header.height) == ("HEIC", *size)


@pytest.mark.parametrize("brand", [b"mif1", b"heix", b"hevc", b"msf1"])
def test_any_brand_of_heif_is_tried(brand: bytes) -> None:
    data = FILES["heic"][:8] + brand + FILES["heic"][12:]
    assert read_header(data).format == "HEIC"


LARGE = replaced(FILES["heic"], b"ispe", 4, ">II", 60_000, 60_000)
LIAR = replaced(heic(Image.new("RGB", (2000, 1500))), b"ispe", 4, ">II", 64, 64)


@pytest.mark.parametrize(
    "data",
    [
        LARGE,
        replaced(FILES["heic in tiles"], b"ispe", 4, ">II", 60_000, 60_000),
        # The tiles say that they are small, but not the grid; a track is scaled to the size that it states.
        replaced(heic(Image.new("RGB", (2000, 1500)), tile_size=512), b"ispe", 4, ">II", 64, 64),
        replaced(in_frames(scene(), "AVIF"), b"tkhd", 88, ">HHHH", 2000, 0, 1500, 0),
        LIAR,  # its HEVC data says how large it really is
        replaced(encode(Image.new("RGB", (2000, 1500)), "AVIF"), b"ispe", 4, ">II", 64, 64),  # and its AV1
        replaced(in_frames(np.zeros((1500, 2000, 3), np.uint8), "AVIF"), b"ispe", 4, ">II", 64, 64),
    ],
)
def test_more_pixels_than_allowed_are_refused_by_the_header(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for decoder in ("pillow_heif.open_heif", "PIL.AvifImagePlugin.AvifImageFile.load"):
        monkeypatch.setattr(decoder, lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="more than the limit of 2,000,000"):
        decode(data, max_pixels=2_000_000)


@pytest.mark.parametrize("name", FILES)
def test_a_part_of_a_heic_is_an_error(name: str) -> None:
    for tenth in range(10):
        with pytest.raises(ImageError):
            decode(FILES[name][: len(FILES[name]) * tenth // 10])


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    "location",
    [
        # Items whose extents take no bytes, and extents that are the whole file, over and over.
        bytes(4) + b"\0\0\xff\xff" + (b"\0\1\0\0\xff\xff" * 65535),
        bytes(4) + b"\0\0\0\1" + b"\0\1\0\0\x03\xe8",
    ],
)
def test_locations_without_end_are_refused_at_once(location: bytes) -> None:
    brands, meta = box(b"ftyp", b"heic\0\0\0\0mif1"), box(b"meta", bytes(4) + box(b"iloc", location))
    with pytest.raises(ImageError, match="boxes are damaged"):
        read_header(brands + meta + bytes(100_000))


def test_without_pillow_heif_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install pillow-heif$"):
        decode(FILES["heic"])


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        *((data, 3 if "several" in name or "second" in name else 1) for name, data in FILES.items()),
        (encode(SCENE, "AVIF"), 1),
        (in_frames(SCENE, "AVIF"), 3),
        # What a header claims is bounded by the size of the file.
        (replaced(in_frames(SCENE, "AVIF"), b"stsz", 8, ">I", 2**31), len(in_frames(SCENE, "AVIF"))),
    ],
)
def test_frames(data: bytes, frames: int) -> None:
    assert read_header(data).frames == frames


def test_a_picture_has_its_number_of_frames() -> None:
    assert read_picture(FILES["heic of several"]).frames == 3
    assert read_picture(pil(SCENE)).frames == 1
