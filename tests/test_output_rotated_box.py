"""Rotated boxes on pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_max.output.draw import draw
from yolo_max.output.palette import class_color
from yolo_max.output.rotated_box import draw_rotated_box, label_start
from yolo_max.support.options import DrawOptions
from yolo_max.tasks.obb.decode import corners
from yolo_max.tasks.obb.rotated_detections import RotatedDetections

NAMES = {0: "ship", 1: "plane"}
COLOR = class_color(1)


def found(*boxes: tuple[float, ...], size: tuple[int, int] = (200, 300)) -> RotatedDetections:
    count = len(boxes)
    return RotatedDetections(
        xywhr=np.array(boxes, np.float32).reshape(-1, 5),
        confidence=np.linspace(0.9, 0.3, count).astype(np.float32),
        class_id=np.ones(count, np.int32),
        names=NAMES,
        image_size=size,
    )


def drawn(detections: RotatedDetections, **options: Any) -> np.ndarray:
    image = np.full((*detections.image_size, 3), 128, np.uint8)
    annotated = draw(image, detections.marks(), DrawOptions(**options))
    assert (image == 128).all()
    return annotated


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 2])
def test_all_four_sides_have_the_color_of_the_class(angle: float) -> None:
    box = (150, 100, 120, 50, angle)
    picture = drawn(found(box), show_labels=False).astype(int)
    mask = np.max(np.abs(picture - COLOR), axis=2) <= 10
    around = corners(np.array([box], np.float32))[0]
    for start, end in zip(around, np.roll(around, 1, axis=0), strict=True):
        for x, y in (start * (1 - t) + end * t for t in (0.1, 0.5, 0.9)):
            assert mask[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].any()
    x, y = np.meshgrid(np.arange(300) - 150, np.arange(200) - 100)
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    across = np.abs(y * math.cos(angle) - x * math.sin(angle))
    inside, outside = (along < 54) & (across < 19), (along > 66) | (across > 31)
    assert not mask[inside | outside].any()


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 2])
@pytest.mark.parametrize("line_width", [1, 2, 3, 4, 8, 15])
def test_lines_are_as_wide_as_those_of_upright_boxes(line_width: int, angle: float) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    corner = corners(np.array([(150, 100, 120, 50, angle)], np.float32))[0]
    draw_rotated_box(image, [(float(x), float(y)) for x, y in corner], line_width, (255, 255, 255))
    drawn = image[..., 0] / 255.0
    dark = (drawn > 0) & (drawn < 0.5)  # of the rim, or of an edge
    drawn[dark] = 0
    assert drawn.sum() / (2 * (120 + 50)) == pytest.approx(line_width, abs=0.5)


def test_the_line_is_set_off_from_a_background_of_its_color() -> None:
    box = found((150, 100, 120, 50, 0.3))
    annotated = draw(np.full((200, 300, 3), COLOR, np.uint8), box.marks(), DrawOptions(show_labels=False))
    assert (annotated != COLOR).any(axis=2).sum() > 2 * (120 + 50)


def test_the_label_stands_beside_its_box() -> None:
    """Above the highest corner, not above the rectangle around the box."""
    box = found((150, 120, 160, 10, math.pi / 4))
    label = (drawn(box) == COLOR).all(axis=2) & ~(drawn(box, show_labels=False) == COLOR).all(axis=2)
    rows, columns = np.nonzero(label)
    x, y = box.xyxyxyxy[0][box.xyxyxyxy[0, :, 1].argmin()]
    assert rows.max() <= y + 3
    assert abs(rows.max() - y) < 6
    assert columns.min() - 3 <= x <= columns.max() + 3
    assert not label[:, 150:].any()


SQUARE = ((10, 10), (10, 30), (30, 30), (30, 10))


@pytest.mark.parametrize(
    ("points", "start"),
    [
        (SQUARE, (9, 9)),  # the upper left corner
        (tuple((x, y + 0.05 * x) for x, y in SQUARE), (9, 9)),  # though another is a little higher
        (tuple((x, y - 0.05 * x) for x, y in SQUARE), (9, 8)),
        (((20, 5), (5, 20), (20, 35), (35, 20)), (19, 4)),  # on its tip
        (((20, -5), (5, 10), (20, 25), (35, 10)), (4, 9)),  # the tip is outside
        (((-9, -9), (-9, 99), (99, 99), (99, -9)), (44, 38)),  # all are: its centre
        (((90, 90), (90, 99), (99, 99), (99, 90)), (58, 38)),  # nothing shows: the nearest pixel
    ],
)
def test_where_a_label_begins(points: Any, start: tuple[int, int]) -> None:
    left, top, right, bottom = label_start(points, 2, 40, 60)
    assert (left, top) == start
    assert (right - left, bottom - top) == (2, 2)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    boxes=st.lists(
        st.tuples(*[st.floats(-(2**99), 2**99, width=32) | st.floats(-200, 200, width=32)] * 5), max_size=4
    ),
    line_width=st.none() | st.integers(1, 10**6),
)
def test_any_boxes_on_any_image(height: int, width: int, boxes: Any, line_width: int | None) -> None:
    annotated = drawn(found(*boxes, size=(height, width)), line_width=line_width)
    assert annotated.shape == (height, width, 3)
