"""Where labels go: near their boxes, inside the image, and on nothing that matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_max.output.label_layout import Obstacles, leader

WIDE, HIGH = 300, 200
SHAPE = (17, 80, 3)  # of a label


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((50, 60, 250, 160), (50, 43)),  # above the box
        ((50, 5, 250, 160), (50, 5)),  # no room above: inside
        ((0, 0, 300, 200), (0, 0)),
        ((280, 60, 300, 160), (220, 43)),  # shifted to stay inside the image
        ((-0, 0, 10, 10), (0, 10)),  # below, where inside it would hide a small object
    ],
)
def test_where_a_label_goes(box: tuple[int, int, int, int], expected: tuple[int, int]) -> None:
    assert Obstacles([box]).place(SHAPE, box, HIGH, WIDE)[:2] == expected


def test_labels_make_room_for_each_other() -> None:
    box = (50, 60, 250, 160)
    obstacles = Obstacles([box] * 6)
    labels = [obstacles.place(SHAPE, box, HIGH, WIDE) for _ in range(6)]
    pixels = np.zeros((HIGH, WIDE), int)
    for left, top, right, bottom in labels:
        pixels[top:bottom, left:right] += 1
    assert pixels.max() == 1


@pytest.mark.parametrize(
    "boxes",
    [
        [(2, 3, 24, 31), (24, 31, 44, 49)],
        [(13, 19, 34, 37), (53, 32, 70, 62)],
        [(58, 10, 81, 33), (39, 17, 56, 47)],
    ],
)
def test_labels_of_a_small_picture_do_not_touch(boxes: list[tuple[int, int, int, int]]) -> None:
    """Where there is room for both: two that touch read as one."""
    high, wide, shape = 72, 96, (14, 57, 3)
    obstacles = Obstacles(boxes)
    (left, top, right, bottom), other = (obstacles.place(shape, box, high, wide) for box in boxes)
    apart = max(other[0] - right, left - other[2], other[1] - bottom, top - other[3])
    assert apart >= 1


def test_a_label_moves_away_rather_than_hide_others() -> None:
    box = (140, 90, 160, 110)
    obstacles = Obstacles([box] * 12)
    labels = [obstacles.place(SHAPE, box, HIGH, WIDE) for _ in range(12)]
    for i, (left, top, right, bottom) in enumerate(labels):
        for other in labels[:i]:
            common = max(min(right, other[2]) - max(left, other[0]), 0) * max(
                min(bottom, other[3]) - max(top, other[1]), 0
            )
            assert common <= SHAPE[0] * SHAPE[1] / 3
    assert leader(labels[0], box) is None
    assert any(leader(label, box) for label in labels)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ((50, 40, 130, 57), None),  # above the box
        ((60, 80, 140, 97), None),  # inside
        ((50, 20, 130, 37), ((90, 37), (90, 60))),  # further up
        ((10, 180, 60, 197), ((55, 180), (55, 160))),  # further down, in the middle of what they share
        ((260, 100, 290, 117), ((260, 108), (250, 108))),  # at the right
        ((0, 10, 30, 27), ((30, 27), (50, 60))),  # from corner to corner
    ],
)
def test_a_label_that_moved_has_a_leader(label: Any, expected: Any) -> None:
    assert leader(label, (50, 57 if expected is None else 60, 250, 160)) == expected


def test_a_label_does_not_hide_a_small_object_next_to_its_box() -> None:
    box, small = (50, 60, 250, 160), (55, 45, 75, 58)
    left, top, right, bottom = Obstacles([box, small]).place(SHAPE, box, HIGH, WIDE)
    assert right <= small[0] or left >= small[2] or bottom <= small[1] or top >= small[3]


@settings(max_examples=200)
@given(
    box=st.tuples(st.integers(0, 299), st.integers(0, 199), st.integers(1, 300), st.integers(1, 200)),
    shape=st.tuples(st.integers(1, 200), st.integers(1, 300), st.just(3)),
)
def test_labels_stay_inside_the_image(box: tuple[int, int, int, int], shape: tuple[int, int, int]) -> None:
    box = (box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1))
    left, top, right, bottom = Obstacles([box]).place(shape, box, HIGH, WIDE)
    assert 0 <= left < right <= WIDE
    assert 0 <= top < bottom <= HIGH
    assert (bottom - top, right - left) == shape[:2]
