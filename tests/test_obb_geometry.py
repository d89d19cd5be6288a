"""Rotated boxes: decoding, corners and overlaps, against Ultralytics and OpenCV."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics.utils.metrics import batch_probiou
from ultralytics.utils.nms import TorchNMS
from ultralytics.utils.ops import scale_boxes, xywhr2xyxyxyxy
from ultralytics.utils.tal import dist2rbox

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.obb import decode, fast_nms
from yolo_max.tasks.obb.overlap import rotated_iou
from yolo_max.tasks.obb.probiou import Gaussians, overlaps, probiou
from yolo_max.tasks.obb.tolerant_nms import similarity_bounds

Boxes = NDArray[np.float32]


def random_boxes(seed: int, count: int, size: tuple[float, float] = (4, 60), thin: float = 1) -> Boxes:
    """Boxes crowded in 200 x 200 pixels, some of them twice or nearly so, turned anyhow."""
    rng = np.random.default_rng(seed)
    boxes = np.column_stack(
        [
            rng.uniform(0, 200, (count, 2)),
            rng.uniform(*size, (count, 1)),
            rng.uniform(*size, (count, 1)) / thin,
            rng.uniform(-math.pi, math.pi, (count, 1)),
        ]
    )
    again = rng.integers(0, count, count // 3)
    boxes[: count // 3] = boxes[again] + rng.choice([0, 1e-3, 1], (count // 3, 5)) * rng.normal(0, 0.5)
    return boxes.astype(np.float32)


@pytest.mark.parametrize("bins", [1, 16])
def test_boxes_are_decoded_as_by_ultralytics(bins: int) -> None:
    rng = np.random.default_rng(bins)
    distribution = rng.normal(0, 3, (50, 4 * bins)).astype(np.float32)
    raw = rng.normal(0, 3, (50, 1)).astype(np.float32)
    points = rng.uniform(0, 40, (50, 2)).astype(np.float32)
    stride = rng.choice([8, 16, 32], (50, 1)).astype(np.float32)
    angle = (torch.from_numpy(raw).sigmoid() - 0.25) * math.pi
    np.testing.assert_allclose(decode.decode_angles(raw, logit=True), angle, atol=1e-6)
    np.testing.assert_array_equal(decode.decode_angles(raw, logit=False), raw)
    tensor = torch.from_numpy(distribution).view(50, 4, bins)
    distance = tensor.softmax(2) @ torch.arange(bins, dtype=torch.float32) if bins > 1 else tensor[..., 0]
    xywh = dist2rbox(distance, angle, torch.from_numpy(points)) * torch.from_numpy(stride)
    expected = torch.cat([xywh, angle], 1).numpy()
    got = decode.decode_rotated_boxes(distribution, angle.numpy(), points, stride)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", [(480, 640), (97, 333), (1000, 3), (64, 64)])
def test_boxes_are_mapped_as_by_ultralytics(size: tuple[int, int]) -> None:
    boxes = random_boxes(0, 30)
    expected = torch.from_numpy(boxes.copy())
    scale_boxes((256, 320), expected[:, :4], size, xywh=True)
    got = decode.to_image(boxes, Letterbox.fit(size, (256, 320)))
    np.testing.assert_array_equal(got, expected)


def test_corners_are_those_of_ultralytics() -> None:
    boxes = random_boxes(1, 30)
    expected = xywhr2xyxyxyxy(torch.from_numpy(boxes))
    np.testing.assert_allclose(decode.corners(boxes), expected, atol=1e-3)
    assert decode.corners(boxes[:0]).shape == (0, 4, 2)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_probiou_is_that_of_ultralytics(kind: Any) -> None:
    first, second = random_boxes(2, 80).astype(kind), random_boxes(3, 60).astype(kind)
    both = np.concatenate([first[:20], second]), np.concatenate([second[:30], first])
    expected = batch_probiou(*map(torch.from_numpy, both)).numpy()
    got = probiou(*both)
    assert got.dtype == kind
    # Where it is 1, the distance is rounding, and this its square root.
    np.testing.assert_allclose(got, expected, atol=1e-3)
    np.testing.assert_allclose(got[got < 0.95], expected[got < 0.95], atol=5e-6)


@pytest.mark.parametrize("thin", [1, 30, 1000, 1e6])
@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.7, 0.95, 1.0])
def test_leaving_out_what_is_far_apart_changes_nothing(threshold: float, thin: float) -> None:
    boxes = np.concatenate([random_boxes(4, 300, (20, 400), thin), random_boxes(5, 50, (0, 1), thin)])
    boxes[::7, :2] += 7680
    with np.errstate(invalid="ignore"):
        expected = probiou(boxes, boxes) > np.float32(threshold)
    found = overlaps(Gaussians.of(boxes), Gaussians.of(boxes), threshold)
    np.testing.assert_array_equal(found, expected)
    assert threshold == 1 or expected.any()


def test_boxes_beyond_float32_overlap_nothing() -> None:
    boxes = np.array([[0, 0, 1e30, 1e30, 0], [0, 0, 10, 10, 0], [0, 0, 10, 10, 0]], np.float32)
    assert overlaps(Gaussians.of(boxes), Gaussians.of(boxes), 0.5).sum() == 4
    assert fast_nms.fast_nms(boxes, np.ones(3, np.float32), 0.5).tolist() == [0, 1]


def without_near_ties(boxes: Boxes, threshold: float) -> Boxes:
    """Those boxes of which no pair lies near the threshold, where rounding decides."""
    low, high = similarity_bounds(boxes, boxes, 0)
    near = (low - 1e-4 <= threshold) & (high + 1e-4 >= threshold)
    while near.any():
        keep = np.arange(len(boxes)) != near.sum(axis=0).argmax()
        boxes, near = boxes[keep], near[np.ix_(keep, keep)]
    return boxes


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("block", [16, 256])
def test_nms_keeps_what_ultralytics_keeps(
    seed: int, threshold: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_nms, "BLOCK", block)
    monkeypatch.setattr(fast_nms, "ROWS", 2 * block)
    boxes = without_near_ties(random_boxes(seed, 300), threshold)
    assert len(boxes) > 100
    confidence = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32)
    tensors = torch.from_numpy(boxes), torch.from_numpy(confidence)
    expected = TorchNMS.fast_nms(*tensors, threshold, iou_func=batch_probiou).numpy()
    assert 10 < len(expected) < len(boxes)
    np.testing.assert_array_equal(fast_nms.fast_nms(boxes, confidence, threshold), expected)
    assert fast_nms.fast_nms(boxes, confidence, threshold, 7).tolist() == expected[:7].tolist()


def test_a_suppressed_box_suppresses_too() -> None:
    """The first overlaps the second and the second the third: plain NMS would keep the third."""
    boxes = np.array([[x, 0, 10, 10, 0.5] for x in (0, 2, 4)], np.float32)
    confidence = np.array([0.9, 0.8, 0.7], np.float32)
    similarity = probiou(boxes, boxes)
    assert similarity[0, 2] < 0.6 < similarity[0, 1]
    assert fast_nms.fast_nms(boxes, confidence, 0.6).tolist() == [0]


@pytest.mark.parametrize("reach", [60, 6000])  # nearly all overlap, or nearly none
def test_many_candidates_take_little_memory(reach: float) -> None:
    """The matrix of all pairs would take 3.6 GB."""
    rng = np.random.default_rng(0)
    boxes = np.column_stack(
        [rng.uniform(0, reach, (30000, 2)), rng.uniform(20, 60, (30000, 2)), np.zeros(30000)]
    )
    confidence = rng.uniform(0, 1, 30000).astype(np.float32)
    tracemalloc.start()
    try:
        kept = fast_nms.fast_nms(boxes.astype(np.float32), confidence, 0.3, 300)
        assert tracemalloc.get_traced_memory()[1] < 64e6
    finally:
        tracemalloc.stop()
    assert 0 < len(kept) <= 300


def test_nothing_comes_of_nothing() -> None:
    assert fast_nms.fast_nms(np.empty((0, 5), np.float32), np.empty(0, np.float32), 0.5).tolist() == []


def by_opencv(a: Boxes, b: Boxes) -> float:
    rectangles = [((x, y), (w, h), math.degrees(r)) for x, y, w, h, r in (a.tolist(), b.tolist())]
    _, points = cv2.rotatedRectangleIntersection(*rectangles)
    shared = 0.0 if points is None else cv2.contourArea(cv2.convexHull(points))
    return float(shared / (a[2] * a[3] + b[2] * b[3] - shared))


def test_the_exact_iou_is_that_of_opencv() -> None:
    boxes = random_boxes(6, 60, (20, 90))
    expected = [[by_opencv(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(rotated_iou(boxes, boxes), expected, atol=2e-3)  # OpenCV's are float32


SQUARE = (50, 60, 10, 10, 0)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (SQUARE, SQUARE, 1),
        (SQUARE, (50, 60, 10, 10, math.pi / 2), 1),  # the same rectangle
        (SQUARE, (50, 60, 10, 10, math.pi / 4), 1 / math.sqrt(2)),  # an octagon; their probiou is 1
        (SQUARE, (50, 60, 5, 4, 1), 0.2),  # inside
        (SQUARE, (60, 60, 10, 10, 0), 0),  # side by side
        (SQUARE, (57.5, 60, 10, 10, 0), 0.25 / 1.75),
        ((50, 60, 20, 4, 0.3), (50, 60, 4, 20, 0.3), 16 / 144),  # a cross
        ((50, 60, 20, 4, 0.3), (50, 60, 4, 20, 0.3 - math.pi / 2), 1),  # written otherwise
        (SQUARE, (50, 60, 10, 10, 1e-9), 1),
        ((50, 60, 0, 10, 1), (50, 60, 0, 10, 1), 1),  # without area, but the same
        ((50, 60, 0, 10, 1), (50, 60, 0, 12, 1), 0),
        ((50, 60, 0, 10, 1), SQUARE, 0),
        ((50, 60, -10, -10, 0), SQUARE, 1),  # a head without bins can give negative sizes
    ],
)
def test_exact_iou(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    for turn in (0, 0.7, 2):  # about the origin, which must not matter
        pair = []
        for x, y, *rest, angle in (a, b):
            pair.append(
                [
                    x * math.cos(turn) - y * math.sin(turn),
                    x * math.sin(turn) + y * math.cos(turn),
                    *rest,
                    angle + turn,
                ]
            )
        one, other = np.array(pair)[:, None]
        assert rotated_iou(one, other)[0, 0] == pytest.approx(expected, abs=1e-6)
        assert rotated_iou(other, one)[0, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shift", [0, 7680, 50 * 7680])
@pytest.mark.parametrize("thin", [1, 50, 1000, 1e5])
def test_float32_stays_within_its_bounds(thin: float, shift: float) -> None:
    boxes = np.concatenate([random_boxes(7, 150, (5, 500), thin), random_boxes(8, 150, (1, 20), thin)])
    moved = boxes.copy()
    moved[:, :2] += np.float32(shift)
    tensor = torch.from_numpy(moved)
    got = np.nan_to_num(batch_probiou(tensor, tensor).numpy().astype(np.float64), nan=0)
    low, high = similarity_bounds(boxes, boxes, shift)
    # Where it is nearly 1, it is the root of rounding.
    assert (low <= got + 1e-3).all()
    assert (got <= high + 1e-3).all()
    if thin == 1:  # and they say something
        assert np.median(high - low) < 1e-3
        assert (high - low).max() < (0.05 if shift == 0 else 0.2)
