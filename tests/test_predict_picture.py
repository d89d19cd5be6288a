"""Predictions on their images, as users draw and save them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import write_image
from numpy.typing import NDArray

import yolo_max
from yolo_max.support.errors import UsageError
from yolo_max.tasks.detect.detections import Detections


def some() -> Detections:
    return Detections(
        np.array([[0, 1, 2, 3], [4, 5, 60, 70], [1, 1, 9, 9]], np.float32),
        np.array([0.9, 0.9, 0.1], np.float32),
        np.array([1, 0, 1], np.int32),
        {0: "person", 1: "bicycle"},
        (480, 640),
    )


def test_what_is_saved_is_what_is_drawn(tmp_path: Path) -> None:
    source = cv2.imread(str(write_image(tmp_path / "a.png", 1, (480, 640))))
    assert source is not None
    pixels: NDArray[np.uint8] = source.astype(np.uint8)
    for image in (tmp_path / "a.png", pixels):
        yolo_max.save(tmp_path / "out" / "b.png", image, some(), line_width=5)
        assert np.array_equal(
            cv2.imread(str(tmp_path / "out" / "b.png")),  # type: ignore[arg-type]
            yolo_max.draw(pixels, some(), line_width=5),
        )
    assert not np.array_equal(yolo_max.draw(pixels, some()), pixels)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("b.gif", (480, 640), r"cannot be written as \.gif; use \.jpg, "),
        ("b.png", (640, 480), "has 480 x 640 pixels, but the prediction is for one of 640 x 480"),
        ("b", (480, 640), "cannot be written as files without a suffix"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, name: str, size: tuple[int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        yolo_max.save(tmp_path / name, np.zeros((*size, 3), np.uint8), some())
    assert not list(tmp_path.iterdir())
