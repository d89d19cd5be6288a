"""Skeletons, as seen in the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from ultralytics.utils.plotting import Annotator

from yolo_max.output.draw import draw
from yolo_max.output.palette import class_color
from yolo_max.output.skeletons import draw_skeleton
from yolo_max.support.options import DrawOptions
from yolo_max.tasks.marks import Marks, SkeletonMark
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.pose.skeleton import JOINTS, LIMBS, skeleton

GRAY = 96
NAMES = {0: "person"}


def blank(height: int = 400, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), GRAY, np.uint8)


def test_the_person_is_that_of_ultralytics() -> None:
    annotator = Annotator(blank())
    theirs = {
        (*sorted((a - 1, b - 1)), tuple(color.tolist()))
        for (a, b), color in zip(annotator.skeleton, annotator.limb_color, strict=True)
    }
    assert {(*sorted((a, b)), color[::-1]) for a, b, color in LIMBS} == theirs  # theirs are RGB
    assert [color[::-1] for color in JOINTS] == [tuple(each.tolist()) for each in annotator.kpt_color]


def at(canvas: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    return tuple(canvas[round(y), round(x)].tolist())


PERSON = [(20 + 20 * i, 30 + 137 * i % 340) for i in range(17)]


def test_a_person() -> None:
    canvas = blank()
    draw_skeleton(canvas, skeleton(PERSON, [True] * 17), 2)
    for (x, y), color in zip(PERSON, JOINTS, strict=True):
        assert at(canvas, x, y) == color
    drawn = {tuple(pixel) for pixel in canvas.reshape(-1, 3).tolist()}
    assert {color for *_, color in LIMBS} <= drawn


@pytest.mark.parametrize("hidden", range(17))
def test_what_is_hidden_is_not_drawn(hidden: int) -> None:
    """Neither the point nor any limb that ends there."""
    canvas = blank()
    # only the hidden keypoint lies in the right half
    points = [(float(10 + 8 * i), 200.0) for i in range(17)]
    points[hidden] = (350.0, 50.0)
    draw_skeleton(canvas, skeleton(points, [i != hidden for i in range(17)]), 2)
    assert (canvas[:, 200:] == GRAY).all()
    assert (canvas[:, :200] != GRAY).any()


@pytest.mark.parametrize("count", [1, 5, 16, 18])
def test_other_keypoints_are_points_told_apart_by_color(count: int) -> None:
    canvas = blank()
    points = [(10.0 + 20 * i, 200.0) for i in range(count)]
    draw_skeleton(canvas, skeleton(points, [True] * count), 2)
    for i, (x, y) in enumerate(points):
        assert at(canvas, x, y) == class_color(i)
        assert at(canvas, x + 10, y) == (GRAY,) * 3  # no limb


@pytest.mark.parametrize(
    "points",
    [
        [(-50.0, -50.0), (450.0, 450.0)],  # outside
        [(0.0, 0.0), (400.0, 400.0)],  # on the border
        [(1e6, 1e6), (-1e6, 3.0)],
        [(3e8, 2.0), (-3e38, 3e38)],  # more than OpenCV's integers hold, as a record may have it
    ],
)
def test_points_at_the_border_and_outside(points: list[tuple[float, float]]) -> None:
    draw_skeleton(blank(), SkeletonMark(tuple(points), limbs=((0, 1, (1, 2, 3)),)), 3)


def width_of_line(size: int, line_width: int) -> int:
    """Pixels across a limb between two points so far apart."""
    canvas = blank(600, 600)
    mark = SkeletonMark(((50.0, 100.0), (50.0 + size, 100.0)), limbs=((0, 1, (0, 0, 255)),))
    draw_skeleton(canvas, mark, line_width)
    return int((canvas[:, 50 + size // 2] != GRAY).any(axis=1).sum())


def test_limbs_are_as_wide_as_lines_but_thin_on_small_figures() -> None:
    wide = width_of_line(500, 8)
    assert 8 <= wide <= 11  # with soft edges
    assert width_of_line(500, 3) < wide
    assert width_of_line(24, 8) < width_of_line(100, 8) < wide


def poses() -> Poses:
    keypoints = np.array([[(x, y, 0.9) for x, y in PERSON]], np.float32)
    keypoints[0, 16, 2] = 0.4
    return Poses(
        np.array([[10, 20, 390, 390]], np.float32),
        np.array([0.9], np.float32),
        np.array([0], np.int32),
        NAMES,
        (400, 400),
        keypoints,
    )


def test_a_picture_has_boxes_labels_and_skeletons() -> None:
    marks = poses().marks()
    assert [point is None for point in marks.skeletons[0].points] == [False] * 16 + [True]
    picture = draw(blank(), marks)
    without = draw(blank(), Marks(boxes=marks.boxes))
    assert at(picture, *PERSON[5]) == JOINTS[5]
    assert at(picture, *PERSON[16]) == at(without, *PERSON[16])  # hidden
    changed = (picture != without).any(axis=2)
    assert 0.005 < changed.mean() < 0.2
    plain = draw(blank(), marks, DrawOptions(show_labels=False))
    assert at(plain, *PERSON[5]) == JOINTS[5]


def test_in_one_color() -> None:
    """As a comparison draws what each engine found."""
    picture = draw(blank(), poses().marks(), DrawOptions(show_labels=False), colors=[(1, 2, 250)])
    for point in PERSON[:16]:
        assert at(picture, *point) == (1, 2, 250)
