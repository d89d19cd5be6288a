"""The drawn scenes: what is labelled is what is seen."""

from __future__ import annotations

import math
from dataclasses import astuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shapes import figures
from shapes.labels import LABELS, outline
from shapes.outlines import OUTLINES, fill_mask
from shapes.scenes import CLASS_NAMES, MIN_VISIBLE, Scene, Shape, draw_scene, label
from shapes.series import SERIES

# (height, width): wide, tall, square, the smallest that is promised, large
SIZES = [(240, 320), (320, 180), (320, 320), (64, 64), (450, 800)]


def scene_bytes(scene: Scene) -> bytes:
    return b"".join(part.tobytes() for part in astuple(scene))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task", SERIES)
def test_a_scene_is_the_same_each_time(size: tuple[int, int], task: str) -> None:
    draw = SERIES[task].draw
    first = draw(7, 3, size)
    np.random.seed(0)  # the global state must not matter
    assert scene_bytes(first) == scene_bytes(draw(7, 3, size))


def test_series_and_numbers_name_different_scenes() -> None:
    drawn = {scene_bytes(draw_scene(seed, index, (96, 96))) for seed in range(3) for index in range(5)}
    assert len(drawn) == 15


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task", SERIES)
def test_boxes_are_tight_around_the_visible_pixels(size: tuple[int, int], task: str) -> None:
    for index in range(6):
        scene = SERIES[task].draw(11, index, size)
        assert scene.image.shape == (*size, 3)
        assert scene.image.dtype == np.uint8
        assert scene.owner.shape == size
        assert scene.boxes.dtype == np.float32
        assert len(scene.boxes) == len(scene.classes) == scene.owner.max()
        assert scene.corners.shape == (len(scene.boxes), 4, 2)
        assert scene.keypoints.shape == (len(scene.boxes), 17 if task == "pose" else 0, 3)
        for number, box in enumerate(scene.boxes, start=1):
            rows, columns = np.nonzero(scene.owner == number)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert 0 <= box[0] < box[2] <= size[1]
            assert 0 <= box[1] < box[3] <= size[0]


def test_every_class_occurs_small_and_large_hidden_and_cut() -> None:
    scenes = [draw_scene(12, index, (320, 320)) for index in range(60)]
    assert set(np.concatenate([scene.classes for scene in scenes]).tolist()) == set(range(len(CLASS_NAMES)))
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1) for scene in scenes])
    assert sides.min() < 25
    assert sides.max() > 140
    boxes = np.concatenate([scene.boxes for scene in scenes])
    assert (boxes.min(axis=1) == 0).any()  # cut by the left or upper border
    counts = [len(scene.classes) for scene in scenes]
    assert min(counts) <= 2
    assert max(counts) >= 10


def test_a_shape_too_far_hidden_has_no_label() -> None:
    owner = np.zeros((20, 40), np.int32)
    owner[:10, :10] = 1  # 100 pixels in sight
    owner[10:, :10] = 2
    owner[:10, 20:30] = 3
    at_most = math.floor(100 / MIN_VISIBLE)  # the pixels that a shape may have in full, when 100 are seen
    areas = [(4, at_most, 100), (2, at_most + 1, 100), (0, 100, 100), (1, 50, 0)]
    shapes = [Shape(*area, np.full((4, 2), number)) for number, area in enumerate(areas)]
    scene = label(np.zeros((20, 40, 3), np.uint8), owner, shapes)
    assert scene.classes.tolist() == [4, 0]
    assert scene.boxes.tolist() == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert scene.corners[:, 0, 0].tolist() == [0, 2]
    # The numbers close up, and the pixels of what has no label belong to nobody.
    assert np.unique(scene.owner[:10, :10]).tolist() == [1]
    assert np.unique(scene.owner[10:]).tolist() == [0]
    assert np.unique(scene.owner[:10, 20:30]).tolist() == [2]


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_an_outline_fills_its_area(name: str) -> None:
    outline = [points * 90 + 100.3 for points in OUTLINES[name](np.random.default_rng(5))]
    mask = fill_mask(outline, (slice(0, 200), slice(0, 200)))
    polygons = [points.T for points in outline]
    areas = [abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in polygons]  # shoelace formula
    area = areas[0] - sum(areas[1:])
    # OpenCV's antialiased edges reach a little out of the polygon, and into a hole: by less than 0.8 pixel.
    length = sum(float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum()) for points in outline)
    assert area < mask.sum() / 255 < area + 0.8 * length
    assert bool(mask[100, 100]) == (name != "ring")


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_window_that_cuts_an_outline_sees_what_the_whole_image_sees_there(name: str) -> None:
    outline = [points * 90 + 100.3 for points in OUTLINES[name](np.random.default_rng(5))]
    mask = fill_mask(outline, (slice(-50, 250), slice(-50, 250)))
    for top, bottom, left, right in [
        (0, 200, 0, 200),
        (40, 150, 30, 90),
        (90, 260, -20, 110),
        (300, 310, 0, 9),
    ]:
        cut = fill_mask(outline, (slice(top, bottom), slice(left, right)))
        expected = np.zeros((bottom - top, right - left), np.uint8)
        part = mask[top + 50 : bottom + 50, left + 50 : right + 50]
        expected[: part.shape[0], : part.shape[1]] = part
        np.testing.assert_array_equal(cut, expected)


# --- Rotated boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(12))
def test_a_rotated_box_is_tight_around_its_shape(index: int) -> None:
    scene = SERIES["classify"].draw(13, index, (320, 320))  # one shape, whole but for what clutter hides
    corners = scene.corners[0].astype(np.float64)
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    assert abs(along @ down) < 1e-3 * np.hypot(*along) * np.hypot(*down)  # a right angle
    assert along[0] * down[1] - along[1] * down[0] > 0  # clockwise, as y points down
    np.testing.assert_allclose(corners[2], corners[0] + along + down, atol=1e-3)
    points = np.argwhere(scene.owner == 1)[:, ::-1] + 0.5
    shares = np.stack([(points - corners[0]) @ side / (side @ side) for side in (along, down)])
    pixel = 1.5 / min(np.hypot(*along), np.hypot(*down))
    assert shares.min() > -pixel
    assert shares.max() < 1 + pixel
    # A shape touches all four sides; clutter may hide a little of it.
    assert np.ptp(shares, axis=1).min() > 0.85


def test_rotated_boxes_stay_in_the_image() -> None:
    for index in range(12):
        scene = SERIES["obb"].draw(14, index, (180, 320))
        assert (scene.corners >= 0).all()
        assert (scene.corners <= (320, 180)).all()


# --- Figures ----------------------------------------------------------------------------------------------


def test_keypoints_say_what_is_seen_of_them() -> None:
    owner = np.zeros((20, 40), np.int32)
    owner[:, :10] = 1
    # one in sight, one hidden by something else, one at the edge of the image, one outside
    points = np.array([(5.5, 3), (20, 3), (0, 19.9), (-1, 5)])
    scene = label(np.zeros((20, 40, 3), np.uint8), owner, [Shape(0, 200, 200, np.zeros((4, 2)), points)], 4)
    np.testing.assert_allclose(
        scene.keypoints[0], [(5.5, 3, 2), (20, 3, 1), (0, 19.9, 2), (0, 0, 0)], rtol=1e-6
    )


def test_every_visibility_occurs_and_joints_lie_on_their_figure() -> None:
    scenes = [SERIES["pose"].draw(15, index, (320, 320)) for index in range(20)]
    keypoints = np.concatenate([scene.keypoints for scene in scenes])
    counts = np.bincount(keypoints[..., 2].astype(int).ravel(), minlength=3)
    assert counts[2] > 0.7 * counts.sum()
    assert counts[1] > 0.01 * counts.sum()
    assert counts[0] > 0.01 * counts.sum()
    assert (keypoints[keypoints[..., 2] == 0] == 0).all()


def test_what_is_left_of_a_figure_is_at_our_right() -> None:
    joints = np.array([figures.joints(np.random.default_rng(seed)) for seed in range(20)])
    pairs = joints[:, list(figures.FLIPPED_KEYPOINTS)]
    left = [i for i, other in enumerate(figures.FLIPPED_KEYPOINTS) if i < other]
    trunk = [i for i in left if i not in (figures.ELBOWS[0], figures.WRISTS[0], *ankles_and_knees())]
    assert (joints[:, trunk, 0] > pairs[:, trunk, 0]).all()


def ankles_and_knees() -> tuple[int, ...]:
    return (*figures.KNEES, *figures.ANKLES)


# --- Labels -----------------------------------------------------------------------------------------------


def filled(points: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return canvas.astype(bool)


def drawn(*rectangles: tuple[int, int, int, int, int]) -> NDArray[np.bool_]:
    """Rectangles (value, top, bottom, left, right), one over the other."""
    mask = np.zeros((30, 40), bool)
    for value, top, bottom, left, right in rectangles:
        mask[top:bottom, left:right] = value
    return mask


@pytest.mark.parametrize(
    ("mask", "more"),
    [
        (drawn((1, 5, 20, 5, 30)), 0),
        (drawn((1, 5, 6, 5, 6)), 0),  # one pixel
        (drawn((1, 0, 30, 0, 40)), 0),  # everything
        (drawn((1, 5, 25, 5, 30), (0, 10, 20, 10, 25)), 0),  # a hole
        (drawn((1, 2, 28, 2, 38), (0, 5, 10, 5, 15), (0, 15, 25, 20, 35)), 0),  # two holes
        (drawn((1, 2, 28, 2, 38), (0, 5, 25, 5, 35), (1, 10, 20, 10, 30)), 5),  # a part in a hole
        (drawn((1, 5, 20, 5, 10), (1, 5, 20, 12, 20)), 2),  # two parts
    ],
)
def test_an_outline_fills_to_the_mask(mask: NDArray[np.bool_], more: int) -> None:
    """But for the lines that join parts, `more` pixels at most."""
    found = filled(outline(mask), mask.shape)
    assert not (mask & ~found).any()
    assert np.count_nonzero(found & ~mask) <= more


@pytest.mark.parametrize("task", LABELS)
def test_labels_give_back_what_was_drawn(task: str) -> None:
    for index in range(4):
        scene = SERIES[task].draw(16, index, (200, 300))
        lines = LABELS[task](scene)
        rows = [np.array(line.split(), np.float64) for line in lines]
        assert [int(row[0]) for row in rows] == scene.classes.tolist()
        sides = np.array([300, 200])
        for number, row in enumerate(rows):
            assert row[1:].min() >= 0
            places = row[1:]
            if task == "segment":
                polygon = (places.reshape(-1, 2) * sides).astype(np.int64)  # as Ultralytics rounds
                mask = scene.owner == number + 1
                found = filled(polygon, mask.shape)
                assert np.count_nonzero(found ^ mask) <= 0.03 * np.count_nonzero(mask)
            elif task == "obb":
                np.testing.assert_allclose(places.reshape(4, 2) * sides, scene.corners[number], atol=1e-3)
            else:
                centre, half = places[:2] * sides, places[2:4] * sides / 2
                np.testing.assert_allclose([*centre - half, *centre + half], scene.boxes[number], atol=1e-3)
            if task == "pose":
                expected = scene.keypoints[number].copy()
                np.testing.assert_allclose(places[4:].reshape(17, 3) * (*sides, 1), expected, atol=1e-3)


@pytest.mark.parametrize("task", LABELS)
def test_a_scene_without_shapes_has_an_empty_label(task: str) -> None:
    size = (64, 64)
    assert LABELS[task](label(np.zeros((*size, 3), np.uint8), np.zeros(size, np.int32), [], 17)) == []
