from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.matching import LOOSE_IOU, SAME_IOU, box_iou, match

NAMES = {0: "disc", 1: "square"}


def _found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Detections from (x1, y1, x2, y2, confidence, class), most confident first."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32), NAMES, (100, 100))


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ([], [], []),
        ([(0, 0, 10, 10, 0.9, 0)], [], []),
        # the same box
        ([(0, 0, 10, 10, 0.9, 0)], [(0, 0, 10, 10, 0.9, 0)], [(0, 0)]),
        # the same box of another class
        ([(0, 0, 10, 10, 0.9, 0)], [(0, 0, 10, 10, 0.9, 1)], []),
        # moved, but not out of reach: IoU 0.67
        ([(0, 0, 10, 10, 0.9, 0)], [(0, 2, 10, 12, 0.9, 0)], [(0, 0)]),
        # moved out of reach: IoU 0.43
        ([(0, 0, 10, 10, 0.9, 0)], [(0, 4, 10, 14, 0.9, 0)], []),
        # each is in one pair only
        ([(0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0)], [(0, 0, 10, 10, 0.8, 0)], [(1, 0)]),
        # greedy by the first set would take the second's only partner
        (
            [(0, 0, 10, 10, 0.9, 0), (0, 3, 10, 13, 0.8, 0)],
            [(0, 2, 10, 12, 0.9, 0), (0, 5, 10, 15, 0.8, 0)],
            [(0, 0), (1, 1)],
        ),
        # a pair that is the same is not torn apart to make two that are half good
        (
            [(0, 0, 100, 10, 0.9, 0), (20, 0, 120, 10, 0.8, 0)],
            [(20, 0, 120, 10, 0.8, 0), (40, 0, 140, 10, 0.7, 0)],
            [(1, 0)],
        ),
        # boxes that were clipped to nothing at the border
        ([(5, 0, 9, 0, 0.9, 0)], [(5, 0, 9, 0, 0.9, 0)], [(0, 0)]),
        ([(5, 0, 9, 0, 0.9, 0)], [(7, 0, 9, 0, 0.9, 0)], []),
    ],
)
def test_pairs(
    first: list[tuple[float, float, float, float, float, int]],
    second: list[tuple[float, float, float, float, float, int]],
    pairs: list[tuple[int, int]],
) -> None:
    matching = match(_found(*first), _found(*second))
    assert list(zip(matching.first, matching.second, strict=True)) == pairs
    assert sorted([*matching.first, *matching.only_first]) == list(range(len(first)))
    assert sorted([*matching.second, *matching.only_second]) == list(range(len(second)))


def test_measures_each_pair() -> None:
    matching = match(_found((0, 0, 10, 10, 0.9, 0)), _found((0, 1, 10, 11, 0.7, 0)))
    np.testing.assert_allclose(matching.iou, [9 / 11])
    np.testing.assert_allclose(matching.confidence_difference, [0.2], atol=1e-7)


_boxes = st.lists(st.tuples(*[st.integers(0, 8)] * 2, st.integers(1, 9)), max_size=5)


@settings(max_examples=200)
@given(_boxes, _boxes)
def test_is_the_best_of_all_assignments(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    """Compared with every possible assignment, among those that are not the same box."""

    def found(rows: list[tuple[int, int, int]]) -> Detections:
        ordered = sorted(rows, key=lambda row: -row[2])
        return _found(*((x, y, x + 10, y + 10, c / 10, 0) for x, y, c in ordered))

    ours, theirs = found(first), found(second)
    iou = box_iou(ours.xyxy, theirs.xyxy)
    if (iou >= SAME_IOU).any():
        return
    cost = 1 - iou + np.abs(ours.confidence[:, None].astype(float) - theirs.confidence)
    best = (0, 0.0)
    rows, columns = range(len(ours)), [*range(len(theirs)), *[-1] * len(ours)]
    for choice in set(permutations(columns, len(ours))):
        pairs = [(i, j) for i, j in zip(rows, choice, strict=True) if j >= 0 and iou[i, j] >= LOOSE_IOU]
        best = min(best, (-len(pairs), sum(cost[pair] for pair in pairs)))
    matching = match(ours, theirs)
    assert len(matching.first) == -best[0]
    assert sum(cost[matching.first, matching.second]) == pytest.approx(best[1])


def test_iou_against_counting_cells() -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 12, (40, 2, 2)), axis=1).reshape(40, 4)
    grid = np.indices((12, 12)).reshape(2, -1).T
    inside = [((grid >= (y1, x1)) & (grid < (y2, x2))).all(axis=1) for x1, y1, x2, y2 in corners]
    iou = box_iou(corners.astype(np.float32), corners.astype(np.float32))
    for i, a in enumerate(inside):
        for j, b in enumerate(inside):
            if (a | b).any():
                assert iou[i, j] == pytest.approx((a & b).sum() / (a | b).sum())


def test_boxes_without_area_are_the_same_where_they_coincide() -> None:
    """A single bin may give a negative distance, and then sides change places."""
    flat, swapped, both = [3, 4, 3, 9], [5, 4, 3, 9], [5, 9, 3, 4]
    boxes = np.array([flat, swapped, both], np.float32)
    np.testing.assert_array_equal(box_iou(boxes, boxes + np.float32(0.01)), np.eye(3))
    np.testing.assert_array_equal(box_iou(boxes, np.array([[0, 0, 20, 20]], np.float32)), 0)
