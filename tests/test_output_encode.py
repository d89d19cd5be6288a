"""Annotated images as files: the suffix's format, and the pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from image_files import scene

from yolo_max.images.read import decode, read_image
from yolo_max.output.encode import encode_image, write_image
from yolo_max.support.errors import ImageError
from yolo_max.support.result_names import annotated_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("a.JPEG", "a.JPEG"),
        ("a.png", "a.png"),
        ("a.b.webp", "a.b.webp"),
        ("a.tif", "a.tif"),
        ("a.bmp", "a.bmp"),
        ("a.jp2", "a.jp2"),
        ("a.jfif", "a.jfif"),
        ("a.gif", "a.gif.png"),  # OpenCV reads more than it writes
        ("a.avif", "a.avif.png"),
        ("a.mpo", "a.mpo.png"),
        ("a.txt", "a.txt.png"),  # an image by its content
        ("a", "a.png"),
        (".jpg", ".jpg.png"),  # a hidden file without a suffix
    ],
)
def test_annotated_name(name: str, expected: str) -> None:
    assert annotated_name(name) == expected
    assert decode(encode_image(scene(), Path(expected).suffix)).shape == scene().shape


@pytest.mark.parametrize(
    ("suffix", "signature", "error"),
    [
        (".jpg", b"\xff\xd8\xff", 12),
        (".JPG", b"\xff\xd8\xff", 12),
        (".jfif", b"\xff\xd8\xff", 12),
        (".webp", b"RIFF", 12),
        (".png", b"\x89PNG", 0),
        (".bmp", b"BM", 0),
        (".tiff", b"II*\0", 0),
        (".jp2", b"\0\0\0\x0cjP", 0),
    ],
)
def test_the_suffix_decides_the_format(suffix: str, signature: bytes, error: int) -> None:
    data = encode_image(scene(), suffix)
    assert data.startswith(signature)
    assert np.abs(decode(data).astype(int) - scene()).max() <= error


def test_an_image_too_large_for_its_format_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"16384 x 1 pixels cannot be written as \.webp"):
        encode_image(np.zeros((1, 16384, 3), np.uint8), ".webp")


def test_write_image_reads_back(tmp_path: Path) -> None:
    write_image(tmp_path / "deep/er/a.png", scene())
    np.testing.assert_array_equal(read_image(tmp_path / "deep/er/a.png"), scene())


def test_opencv_is_not_asked_about_the_name(tmp_path: Path) -> None:
    # cv2.imwrite chooses by the name and cannot open every name; bytes written here can.
    path = tmp_path / "line\nbreak \udcff.JPG"
    write_image(path, scene())
    assert cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None
