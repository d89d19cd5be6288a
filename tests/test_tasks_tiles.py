"""What is found in tiles, merged: against the definition, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.rle import boundaries_of, encode
from yolo_max.tasks.segment.segmentation import Segmentation
from yolo_max.tasks.tiles import NMM, NMS, Merging, Part

NAMES = {0: "one", 1: "two", 2: "three"}
TILE, IMAGE = (100, 120), (160, 200)
PLACES = ((0, 0), (80, 0), (0, 60), (80, 60))
"""(left, top) of four tiles of an image."""

Random = np.random.Generator


def columns(random: Random, count: int) -> dict[str, Any]:
    """What all objects have; some confidences are equal."""
    confidence = np.sort(random.integers(1, 20, count) / 20)[::-1].astype(np.float32)
    class_id = random.integers(0, 3, count).astype(np.int32)
    return {"confidence": confidence, "class_id": class_id, "names": NAMES, "image_size": TILE}


def boxes(random: Random, count: int) -> Detections:
    start = random.uniform(0, 70, (count, 2))
    xyxy = np.hstack([start, start + random.uniform(0, 50, (count, 2))]).astype(np.float32)
    xyxy[::7, 2] = xyxy[::7, 0]  # no area
    return Detections(xyxy, **columns(random, count))


def rotated(random: Random, count: int) -> RotatedDetections:
    rows = [
        random.uniform(10, 110, (count, 2)),
        random.uniform(5, 60, (count, 2)),
        random.uniform(-2, 2, (count, 1)),
    ]
    return RotatedDetections(xywhr=np.hstack(rows).astype(np.float32), **columns(random, count))


def masks(random: Random, count: int) -> Segmentation:
    found = boxes(random, count)
    dense = random.random((count, *TILE)) < random.random((count, 1, 1))
    counts = np.empty(count, object)
    counts[:] = [encode(boundaries_of([each], 0, 0, TILE), TILE) for each in dense]
    return Segmentation(**vars(found), rle=counts, mask_size=TILE, coarse_rle=np.full(count, "", object))


def poses(random: Random, count: int) -> Poses:
    points = random.uniform(0, 100, (count, 4, 3)).astype(np.float32)
    points[..., 2] /= 100
    return Poses(**vars(boxes(random, count)), keypoints=points)


def parts_of(make: Callable[[Random, int], Any], seed: int) -> list[Part]:
    random = np.random.default_rng(seed)
    return [Part(make(random, int(random.integers(0, 12))), *place) for place in PLACES]


def corners_in_image(part: Part, index: int) -> NDArray[np.float64]:
    """The four corners of an object's box, in pixels of the image."""
    if isinstance(part.found, RotatedDetections):
        points = part.found.xyxyxyxy[index].astype(np.float64)
    else:
        x1, y1, x2, y2 = part.found.xyxy[index].astype(np.float64)
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    shifted: NDArray[np.float64] = points + np.array([part.left, part.top])
    return shifted


def in_common(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over the smaller area of two convex polygons, by OpenCV."""
    smaller = min(cv2.contourArea(a.astype(np.float32)), cv2.contourArea(b.astype(np.float32)))
    if smaller == 0:
        return 0.0
    shared, _ = cv2.intersectConvexConvex(a.astype(np.float32), b.astype(np.float32))
    return shared / smaller


def groups_by_definition(
    parts: Sequence[Part], threshold: float, agnostic: bool
) -> list[list[tuple[int, int]]]:
    """Groups of (part, index): the best takes all that it has enough in common with, and so on."""
    left = [(i, j) for i, part in enumerate(parts) for j in range(len(part.found))]
    left.sort(key=lambda each: -float(parts[each[0]].found.confidence[each[1]]))  # stable

    def alike(a: tuple[int, int], b: tuple[int, int]) -> bool:
        (i, j), (k, m) = a, b
        same = agnostic or parts[i].found.class_id[j] == parts[k].found.class_id[m]
        common = in_common(corners_in_image(parts[i], j), corners_in_image(parts[k], m))
        return bool(same and common > 0 and common >= threshold)

    groups = []
    while left:
        first = left.pop(0)
        taken = [each for each in left if alike(first, each)]
        left = [each for each in left if each not in taken]
        groups.append([first, *taken])
    return groups


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.53, 0.97])
@pytest.mark.parametrize("rule", [NMS, NMM])
@pytest.mark.parametrize("make", [boxes, rotated, masks])
def test_groups_are_those_of_the_definition(
    make: Callable[[Random, int], Any], rule: str, threshold: float, agnostic: bool
) -> None:
    for seed in range(6):
        parts = parts_of(make, seed)
        merged = Merging(rule, threshold, agnostic)(parts, IMAGE)
        groups = groups_by_definition(parts, threshold, agnostic)
        assert type(merged) is type(parts[0].found)
        assert merged.image_size == IMAGE
        firsts = [parts[i].found[j] for (i, j), *_ in groups]
        assert [(box.confidence, box.class_id) for box in merged] == [
            (box.confidence, box.class_id) for box in firsts
        ]
        for index, group in enumerate(groups):
            corners = np.concatenate([corners_in_image(parts[i], j) for i, j in group])
            if rule == NMS:
                corners = corners[:4]
            if isinstance(merged, RotatedDetections):
                check_rotated(merged, index, firsts[index].xywhr[4], corners)
            else:
                around = [*corners.min(axis=0), *corners.max(axis=0)]
                np.testing.assert_allclose(merged.xyxy[index], around, atol=1e-4)
            if isinstance(merged, Segmentation):
                expected = np.zeros(IMAGE, bool)
                for i, j in group if rule == NMM else group[:1]:
                    found, x, y = parts[i]
                    expected[y : y + TILE[0], x : x + TILE[1]] |= found.mask(j)
                np.testing.assert_array_equal(merged.mask(index), expected)


def check_rotated(merged: RotatedDetections, index: int, angle: float, corners: NDArray[np.float64]) -> None:
    """The box is turned as the first, and is the smallest of that angle around the corners."""
    x, y, width, height, turned = merged.xywhr[index].astype(np.float64)
    assert turned == angle
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    along = (corners - (x, y)) @ axes
    reach = np.array([width, height]) / 2
    np.testing.assert_allclose(along.max(axis=0), reach, atol=1e-3)
    np.testing.assert_allclose(along.min(axis=0), -reach, atol=1e-3)


def test_one_object_over_a_border_is_one_with_a_whole_mask() -> None:
    """A bar from x = 50 to 150 is cut off at 120 in the left tile, and at 80 in the right one."""
    whole = np.zeros(IMAGE, bool)
    whole[40:60, 50:150] = True

    def seen(left: int) -> Segmentation:
        part = whole[: TILE[0], left : left + TILE[1]]
        rows, xs = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        box = np.array([[xs[0], rows[0], xs[-1] + 1, rows[-1] + 1]], np.float32)
        counts = np.array([encode(boundaries_of([part], 0, 0, TILE), TILE)], object)
        shared = {"names": NAMES, "image_size": TILE, "class_id": np.zeros(1, np.int32)}
        confidence = np.array([0.9 - left / 1000], np.float32)
        empty = np.array([""], object)
        return Segmentation(
            box,
            confidence,
            rle=counts,
            mask_size=TILE,
            coarse_rle=empty,
            **shared,  # type: ignore[arg-type]
        )

    parts = [Part(seen(0), 0, 0), Part(seen(80), 80, 0)]
    merged = Merging(NMM, 0.5)(parts, IMAGE)
    assert merged.xyxy.tolist() == [[50, 40, 150, 60]]
    np.testing.assert_array_equal(merged.masks, whole[None])
    (best,) = Merging(NMS, 0.5)(parts, IMAGE)
    assert best.xyxy == (50, 40, 120, 60)  # what the better tile saw


def test_poses_keep_the_keypoints_of_the_best() -> None:
    for seed in range(6):
        parts = parts_of(poses, seed)
        merged = Merging(NMS, 0.5)(parts, IMAGE)
        groups = groups_by_definition(parts, 0.5, agnostic=False)
        assert len(merged) == len(groups)
        for points, ((i, j), *_) in zip(merged.keypoints, groups, strict=True):
            found, left, top = parts[i]
            np.testing.assert_array_equal(points, found.keypoints[j] + np.array([left, top, 0], np.float32))


def test_a_keypoint_that_is_not_there_is_not_moved() -> None:
    points = np.array([[[0, 0], [3, 4]]], np.float32)
    columns_ = (np.ones(1, np.float32), np.zeros(1, np.int32), NAMES, TILE)
    moved = Poses(np.array([[0, 0, 9, 9]], np.float32), *columns_, keypoints=points).in_larger(5, 7, IMAGE)
    assert moved.keypoints.tolist() == [[[0, 0], [8, 11]]]


@pytest.mark.parametrize("kind", [Detections, RotatedDetections, Segmentation, Poses])
def test_nothing_in_any_tile_is_nothing_in_the_image(kind: type[Detections]) -> None:
    parts = [Part(kind.empty(NAMES, TILE), *place) for place in PLACES]
    for rule in (NMS, NMM):
        merged = Merging(rule, 0.5)(parts, IMAGE)
        assert merged == kind.empty(NAMES, IMAGE)


def test_masks_of_another_size_than_their_image_are_refused() -> None:
    found = masks(np.random.default_rng(0), 2)
    object.__setattr__(found, "image_size", (50, 60))
    with pytest.raises(ValueError, match="of the size of their image"):
        found.in_larger(0, 0, IMAGE)
