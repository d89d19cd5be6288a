"""Predictions on their images, as users draw and save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import write_image
from numpy.typing import NDArray

import yolo_max
from yolo_max.output.draw import draw as draw_marks
from yolo_max.support.errors import UsageError
from yolo_max.support.options import DrawOptions
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
    "changes", [{"line_width": 7}, {"font_size": 30}, {"show_labels": False}, {"show_conf": False}]
)
def test_each_option_of_drawing_changes_the_picture(tmp_path: Path, changes: dict[str, Any]) -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    expected = draw_marks(pixels, some().marks(), DrawOptions(**changes))
    assert not np.array_equal(expected, yolo_max.draw(pixels, some()))
    result = yolo_max.Result("a.png", some())
    result.keep(pixels, pixels.copy)
    np.testing.assert_array_equal(yolo_max.draw(pixels, some(), **changes), expected)
    np.testing.assert_array_equal(result.plot(**changes), expected)
    result.save(tmp_path / "a.png", **changes)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"line_width": 0}, "line_width is 0, but it must be a whole number"),
        ({"font_size": 2.5}, "font_size is 2.5"),
        ({"show_label": True}, "there is no option 'show_label'; did you mean show_labels"),
    ],
)
def test_an_option_of_drawing_that_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        yolo_max.draw(np.zeros((480, 640, 3), np.uint8), some(), **changes)


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
