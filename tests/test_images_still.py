from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_files import encode, files_of, in_frames, in_parts_of, pil, png_of, scene
from PIL import Image, PngImagePlugin

from yolo_max.images.header import read_header
from yolo_max.images.read import decode
from yolo_max.images.still import still
from yolo_max.support.errors import ImageError

SCENE = scene()
RGBA = Image.fromarray(np.dstack([SCENE[:, :, ::-1], SCENE[:, ::-1, 0]]))
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("comment", "a long story " * 100, zip=True)
EXIF = Image.Exif()
EXIF[0x0112] = 6


@pytest.mark.parametrize(
    "data",
    [
        *files_of(SCENE).values(),
        # Animations whose first frame is the picture.
        *(data for name, data in in_parts_of(SCENE).items() if "default image" not in name),
        # Palettes, transparency, depth.
        encode(pil(SCENE).quantize(32), "PNG"),
        encode(pil(SCENE).quantize(32), "PNG", transparency=3),
        encode(pil(SCENE), "PNG", transparency=(255, 0, 0)),
        encode(RGBA, "PNG"),
        encode(RGBA, "PNG", save_all=True, append_images=[RGBA.rotate(180)], blend=1, disposal=2),
        encode(RGBA, "WEBP", lossless=True, exact=True, save_all=True, append_images=[RGBA.rotate(180)]),
        encode(Image.fromarray(SCENE[:, :, 0].astype(np.uint16) * 256), "PNG"),
        # Metadata.
        encode(pil(SCENE), "PNG", pnginfo=TEXT, dpi=(300, 300), icc_profile=bytes(200)),
        encode(pil(SCENE), "WEBP", lossless=True, icc_profile=bytes(200), xmp=b"<x/>"),
        # EXIF orientation.
        encode(pil(SCENE), "PNG", exif=EXIF),
        encode(pil(SCENE), "WEBP", lossless=True, exif=EXIF),
        in_frames(SCENE, "WEBP", lossless=True, exif=EXIF),
    ],
)
def test_the_pixels_stay_those_of_opencv(data: bytes) -> None:
    if read_header(data).format in ("GIF", "AVIF"):
        assert still(data, read_header(data).format) == data  # Pillow decodes these
        return
    whole, alone = (
        cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR)
        for each in (data, still(data, read_header(data).format))
    )
    np.testing.assert_array_equal(alone, whole)


def _animated(format_name: str) -> tuple[bytes, bytes]:
    options = {"lossless": True} if format_name == "WEBP" else {}
    return in_frames(SCENE, format_name, **options), encode(SCENE, format_name, **options)


def test_a_png_is_left_without_its_animation() -> None:
    animated, plain = _animated("PNG")
    assert b"acTL" in animated
    kept = still(animated, "PNG")
    assert not [kind for kind in (b"acTL", b"fcTL", b"fdAT") if kind in kept]
    assert kept == plain


def test_a_webp_is_left_with_one_frame() -> None:
    animated, _ = _animated("WEBP")
    assert animated.count(b"ANMF") == 3
    kept = still(animated, "WebP")
    assert kept.count(b"ANMF") == 1
    assert struct.unpack_from("<I", kept, 4) == (len(kept) - 8,)


def test_data_behind_the_image_is_left_out() -> None:
    for name, format_name in (("png", "PNG"), ("webp animated", "WebP")):
        data = (files_of(SCENE) | in_parts_of(SCENE))[name]
        assert still(data + b"more", format_name) == still(data, format_name)


def test_the_exif_of_an_animated_png_is_applied() -> None:
    turned = np.ascontiguousarray(SCENE.transpose(1, 0, 2)[::-1])
    np.testing.assert_array_equal(decode(in_frames(turned, "PNG", exif=EXIF)), SCENE)


def test_empty_chunks_without_end_are_refused() -> None:
    endless = struct.pack(">I4sI", 0, b"teXt", zlib.crc32(b"teXt")) * 1_000_001
    with pytest.raises(ImageError, match="PNG chunks are damaged"):
        decode(files_of(SCENE)["png"][:33] + endless)
    animated, _ = _animated("WEBP")
    body = animated[8:] + b"JUNK\0\0\0\0" * 1_000_001
    with pytest.raises(ImageError, match="WebP chunks are damaged"):
        decode(b"RIFF" + struct.pack("<I", len(body)) + body)


def apng_with_a_damaged_frame() -> bytes:
    """A default image and an animation whose frame is damaged, which crashes OpenCV 5.0."""
    picture, frame = (zlib.compress((bytes([first]) + bytes(56 * 4)) * 40) for first in (0, 255))
    return png_of(
        (b"IHDR", struct.pack(">IIBBBBB", 56, 40, 8, 6, 0, 0, 0)),
        (b"acTL", struct.pack(">II", 2, 0)),
        (b"IDAT", picture),
        (b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)),
        (b"fdAT", struct.pack(">I", 1) + frame),  # with an unknown row filter
        (b"IEND", b""),
    )


def test_a_damaged_animation_costs_nothing_but_its_animation(tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(apng_with_a_damaged_frame())
    script = "import sys; from yolo_max.images.read import read_image; print(read_image(sys.argv[1]).shape)"
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "damaged.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "(40, 56, 3)\n"), run.stderr
