from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ultralytics.nn.modules.block import DFL
from ultralytics.utils.ops import scale_boxes
from ultralytics.utils.tal import dist2bbox, make_anchors
from ultralytics_nms import non_max_suppression

from yolo_max.images.letterbox import Letterbox, letterbox
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.detect.decode import anchor_points, decode_boxes, logit_threshold, sigmoid
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess

CANVAS = (96, 128)
CELLS = 12 * 16 + 6 * 8 + 3 * 4
NAMES = {i: f"class {i}" for i in range(7)}
IMAGE = Letterbox.fit((90, 100), CANVAS)


def random_head(seed: int, classes: int = 7, canvas: tuple[int, int] = CANVAS) -> np.ndarray:
    """A head with clusters of confident anchors among much background, of every class."""
    rng = np.random.default_rng(seed)
    cells = sum(canvas[0] // s * (canvas[1] // s) for s in (8, 16, 32))
    head = rng.normal(0, 2, (cells, 64 + classes)).astype(np.float32)
    head[:, 64:] = rng.normal(-7, 1.5, (cells, classes))
    objects = rng.random(cells) < 0.2
    head[objects, 64:] += rng.normal(5, 2.5, (objects.sum(), classes))
    return head


def by_pytorch(
    head: np.ndarray, where: Letterbox, *, multi_label: bool = False, agnostic: bool = False, **options: Any
) -> np.ndarray:
    """[N, 6] of Ultralytics' own decoding, NMS and scaling."""
    tensor = torch.from_numpy(head).T[None]
    box, scores = tensor.split((64, head.shape[1] - 64), dim=1)
    levels = [torch.empty(1, 1, where.canvas_size[0] // s, where.canvas_size[1] // s) for s in (8, 16, 32)]
    anchors, strides = make_anchors(levels, (8, 16, 32))
    xywh = dist2bbox(DFL(16)(box), anchors.T[None], xywh=True, dim=1) * strides.T
    prediction = torch.cat([xywh, scores.sigmoid()], 1).detach()
    (found,) = non_max_suppression(
        prediction, multi_label=multi_label, agnostic=agnostic, max_time_img=60, **options
    )
    scale_boxes(where.canvas_size, found[:, :4], where.image_size)
    return np.asarray(found.numpy())


def assert_same(detections: Detections, expected: np.ndarray) -> None:
    assert len(detections) == len(expected)
    np.testing.assert_allclose(detections.confidence, expected[:, 4], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(detections.class_id, expected[:, 5])
    np.testing.assert_allclose(detections.xyxy, expected[:, :4], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"conf_thres": 0.25, "iou_thres": 0.7}),  # the defaults
        ({"conf": 0.001, "multi_label": True}, {"conf_thres": 0.001, "iou_thres": 0.7, "multi_label": True}),
        ({"conf": 0.01}, {"conf_thres": 0.01, "iou_thres": 0.7}),
        ({"conf": 0.0}, {"conf_thres": 0.0, "iou_thres": 0.7}),  # every anchor
        ({"iou": 0.3}, {"conf_thres": 0.25, "iou_thres": 0.3}),
        ({"agnostic_nms": True}, {"conf_thres": 0.25, "iou_thres": 0.7, "agnostic": True}),
        # An anchor whose best class is not wanted gives nothing, even where a wanted one is above conf.
        ({"classes": [1, 4]}, {"conf_thres": 0.25, "iou_thres": 0.7, "classes": [1, 4]}),
        ({"classes": []}, {"conf_thres": 1.0, "iou_thres": 0.7}),  # no class wanted
        (
            {"classes": [0, 6], "multi_label": True},
            {"conf_thres": 0.25, "iou_thres": 0.7, "classes": [0, 6], "multi_label": True},
        ),
        ({"max_det": 3}, {"conf_thres": 0.25, "iou_thres": 0.7, "max_det": 3}),
        ({"conf": 0.001, "max_nms": 40}, {"conf_thres": 0.001, "iou_thres": 0.7, "max_nms": 40}),
        ({"conf": 1.0}, {"conf_thres": 1.0, "iou_thres": 0.7}),  # nothing
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_ultralytics_finds(ours: dict[str, Any], theirs: dict[str, Any], seed: int) -> None:
    head = random_head(seed)
    assert_same(Postprocess(NAMES, **ours)({"head": head}, IMAGE), by_pytorch(head, IMAGE, **theirs))


@pytest.mark.parametrize(
    "options", [{}, {"multi_label": True}, {"classes": [1, 4]}, {"max_nms": 40}, {"conf": 0.9}]
)
@pytest.mark.parametrize("more", [0, 200])  # rows of background
def test_some_rows_of_the_head_give_what_the_whole_head_gives(more: int, options: dict[str, Any]) -> None:
    head = random_head(3)
    postprocess = Postprocess(NAMES, **options)
    wanted, _ = np.nonzero(head[:, 64:] > postprocess.min_logit)
    cells = np.union1d(wanted, np.random.default_rng(0).integers(0, len(head), more))
    found = postprocess({"cells": cells, "head": head[cells]}, IMAGE)
    assert found == postprocess({"head": head}, IMAGE)
    with pytest.raises(ValueError, match="The head must be float32"):
        postprocess({"cells": cells[:-1], "head": head[cells]}, IMAGE)


@pytest.mark.parametrize(
    ("image_size", "cell", "flat"),
    [
        ((90, 90), 0, (True, False)),  # in the left column of cells, which is padding
        ((90, 90), 15, (True, False)),  # in the right one
        ((70, 128), 5, (False, True)),  # in the upper row
        ((70, 128), 11 * 16 + 5, (False, True)),  # in the lower one
        ((90, 90), 8 * 16 + 8, (False, False)),  # in the image
    ],
)
def test_a_box_in_the_padding_is_kept_without_area_as_by_ultralytics(
    image_size: tuple[int, int], cell: int, flat: tuple[bool, bool]
) -> None:
    where = Letterbox.fit(image_size, CANVAS)
    head = np.full((CELLS, 64 + len(NAMES)), -20, np.float32)
    head[cell, [0, 16, 32, 48]] = 20  # a distance of next to nothing to each side
    head[cell, [1, 17, 33, 49]] = 18.5  # ... but not quite
    head[cell, 64] = 2
    found = Postprocess(NAMES)({"head": head}, where)
    assert_same(found, by_pytorch(head, where, conf_thres=0.25, iou_thres=0.7))
    ((x1, y1, x2, y2),) = found.xyxy.tolist()
    assert (x1 == x2, y1 == y2) == flat


def test_no_rows_give_nothing() -> None:
    none: Outputs = {"cells": np.empty(0, np.intp), "head": np.empty((0, 64 + len(NAMES)), np.float32)}
    assert len(Postprocess(NAMES)(none, IMAGE)) == 0


@pytest.mark.parametrize("classes", [1, 2, 80])
def test_any_number_of_classes(classes: int) -> None:
    head = random_head(1, classes)
    names = {i: str(i) for i in range(classes)}
    for multi_label in (False, True):
        found = Postprocess(names, conf=0.05, multi_label=multi_label)({"head": head}, IMAGE)
        assert len(found) > 5
        assert_same(found, by_pytorch(head, IMAGE, conf_thres=0.05, iou_thres=0.7, multi_label=multi_label))


def test_photographs_give_what_ultralytics_gives(coco_weights: Path, photographs: list[Path]) -> None:
    from ultralytics import YOLO

    yolo = YOLO(str(coco_weights))
    model = yolo.model.fuse().eval()
    total = 0
    for path in photographs[::8]:
        image = cv2.imread(str(path))
        assert image is not None
        pixels, where = letterbox(image, (640, 640))
        with torch.inference_mode():
            decoded, raw = model(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255)
        (expected,) = non_max_suppression(decoded, conf_thres=0.25, iou_thres=0.7)
        scale_boxes(where.canvas_size, expected[:, :4], image.shape)
        head = torch.cat([raw["boxes"], raw["scores"]], dim=1)[0].T.contiguous().numpy()
        assert_same(Postprocess(yolo.names)({"head": head}, where), expected.numpy())
        total += len(expected)
    assert total > 20


def test_dfl_and_dist2bbox_by_hand() -> None:
    # All the weight on one bin gives that bin, in cells: 2 left, 3 up, 5 right, 0 down.
    distribution = np.full((1, 4, 16), -1000, np.float32)
    distribution[0, range(4), [2, 3, 5, 0]] = 0
    box = decode_boxes(
        distribution.reshape(1, 64), np.array([[4.5, 6.5]], np.float32), np.array([[16]], np.float32)
    )
    np.testing.assert_array_equal(box, np.array([[2.5, 3.5, 9.5, 6.5]]) * 16)


def test_decoding_agrees_with_float64() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 8, (500, 64)).astype(np.float32)
    points, stride = anchor_points((640, 640), (8, 16, 32))
    chosen = rng.integers(0, len(points), 500)
    weights = np.exp(logits.reshape(500, 4, 16).astype(np.float64))
    distance = (weights * np.arange(16)).sum(2) / weights.sum(2)
    expected = np.hstack([points[chosen] - distance[:, :2], points[chosen] + distance[:, 2:]])
    np.testing.assert_allclose(
        decode_boxes(logits, points[chosen], stride[chosen]), expected * stride[chosen], rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("canvas", [(640, 640), (32, 32), (384, 640), (96, 1280)])
def test_anchor_points_are_ultralytics(canvas: tuple[int, int]) -> None:
    levels = [torch.empty(1, 1, canvas[0] // s, canvas[1] // s) for s in (8, 16, 32)]
    expected_points, expected_stride = make_anchors(levels, (8, 16, 32))
    points, stride = anchor_points(canvas, (8, 16, 32))
    np.testing.assert_array_equal(points, expected_points)
    np.testing.assert_array_equal(stride, expected_stride)


def test_anchor_points_are_shared_and_cannot_be_spoilt() -> None:
    points, stride = anchor_points((64, 64), (8, 16, 32))
    assert anchor_points((64, 64), (8, 16, 32))[0] is points
    assert not points.flags.writeable
    assert not stride.flags.writeable


@given(
    conf=st.floats(0, 1),
    ulps=st.lists(st.integers(-40, 40), min_size=1, max_size=20),
)
@example(conf=0.0, ulps=[0])
@example(conf=1.0, ulps=[0])
@example(conf=1 - 2**-24, ulps=[0])  # the largest float32 below 1
@example(conf=1 - 2**-53, ulps=[0])  # below 1, but not as float32
@example(conf=2**-149, ulps=[0])  # the smallest above 0
@example(conf=0.25, ulps=list(range(-40, 41)))
def test_the_logit_threshold_is_exact(conf: float, ulps: list[int]) -> None:
    threshold = logit_threshold(conf)
    near = float(np.clip(-math.log(1 / max(conf, 1e-45) - 1) if conf < 1 else 20, -110, 110))
    logits = np.array([-np.inf, -120, -20, 0, 20, 120, np.inf, threshold, near], np.float32)
    steps = [np.float32(near) + np.float32(n) * np.spacing(np.float32(abs(near))) for n in ulps]
    logits = np.concatenate([logits, np.array(steps, np.float32)])
    np.testing.assert_array_equal(logits > threshold, sigmoid(logits) > np.float32(conf))


def test_the_threshold_agrees_with_pytorch_but_for_its_last_bit() -> None:
    rng = np.random.default_rng(0)
    for conf in (0.001, 0.1, 0.25, 0.5, 0.9):
        logits = (math.log(conf / (1 - conf)) + rng.normal(0, 1e-6, 20000)).astype(np.float32)
        scores = torch.from_numpy(logits).sigmoid().numpy()
        disagree = (logits > logit_threshold(conf)) != (scores > np.float32(conf))
        assert (np.abs(scores[disagree] - np.float32(conf)) <= 2 * np.spacing(np.float32(conf))).all()


def test_sigmoid_saturates_quietly() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(
            sigmoid(np.array([-np.inf, -1e30, 0, 1e30, np.inf], np.float32)), [0, 0, 0.5, 1, 1]
        )


def test_ties_go_by_anchor_then_class() -> None:
    head = np.full((CELLS, 71), -20, np.float32)
    head[:, :64] = 0
    head[:, 0:64:16] = 50  # boxes of no size, which overlap nothing
    for anchor, class_id in [(9, 6), (9, 2), (4, 3), (200, 0)]:
        head[anchor, 64 + class_id] = 1
    found = Postprocess(NAMES, multi_label=True)({"head": head}, IMAGE)
    assert found.class_id.tolist() == [3, 2, 6, 0]
    assert Postprocess(NAMES, multi_label=True, max_nms=2)({"head": head}, IMAGE).class_id.tolist() == [3, 2]
    assert Postprocess(NAMES)({"head": head}, IMAGE).class_id.tolist() == [3, 2, 0]


def test_it_is_deterministic() -> None:
    head = random_head(3).round(0)  # many ties
    run = Postprocess(NAMES, conf=0.001, multi_label=True)
    assert run({"head": head}, IMAGE) == run({"head": head.copy()}, IMAGE)


def test_classes_do_not_meet_on_a_canvas_wider_than_their_offset() -> None:
    # Two objects 7680 px apart: class 1 at the left, moved by 7680, would lie on class 0 at the right.
    canvas = (32, 8192)
    where = Letterbox.fit(canvas, canvas)
    points, _ = anchor_points(canvas, (8, 16, 32))
    head = np.full((len(points), 66), -20, np.float32)
    head[:, :64] = 0
    left, right = (int(np.flatnonzero((points == (column + 0.5, 1.5)).all(1))[0]) for column in (10, 970))
    head[left, 65], head[right, 64] = 3, 2
    assert len(Postprocess({0: "a", 1: "b"})({"head": head}, where)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conf": math.nan}, "conf is nan"),
        ({"conf": 2}, "conf is 2"),
        ({"conf": -1}, "conf is -1"),
        ({"iou": 1.01}, "iou is 1.01"),
        ({"max_det": 0}, "max_det is 0"),
        ({"max_nms": -3}, "max_nms is -3"),
        ({"classes": [1, 7]}, r"\[7\].* 0 to 6"),
        ({"classes": [-1]}, r"\[-1\]"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Postprocess(NAMES, **options)


@pytest.mark.parametrize(
    "head",
    [
        np.zeros((CELLS, 72), np.float32),  # one class too many
        np.zeros((CELLS + 1, 71), np.float32),  # one cell too many
        np.zeros((CELLS, 71)),  # float64
        np.zeros((1, CELLS, 71), np.float32),  # a batch
    ],
)
def test_a_head_that_does_not_fit_is_refused(head: np.ndarray) -> None:
    with pytest.raises(ValueError, match="head must be"):
        Postprocess(NAMES)({"head": head}, IMAGE)


@pytest.mark.parametrize("where", [(3, 65), (slice(None), slice(64, None))])  # beside a hit; everywhere
def test_nan_class_logits_are_an_error_and_not_an_empty_image(where: Any) -> None:
    head = random_head(0)
    head[3, 64] = 3
    head[where] = np.nan
    with pytest.raises(EngineError, match="class logits that are NaN"):
        Postprocess(NAMES)({"head": head}, IMAGE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_network_is_an_error_and_not_an_empty_image(value: float) -> None:
    head = random_head(0)
    head[:, :64] = value
    with pytest.raises(EngineError, match="not finite"):
        Postprocess(NAMES)({"head": head}, IMAGE)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), iou=st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]))
def test_only_boxes_of_one_class_suppress_each_other(seed: int, iou: float) -> None:
    head = random_head(seed, classes=3)
    names = {0: "a", 1: "b", 2: "c"}
    found = Postprocess(names, conf=0.1, iou=iou, max_det=5000)({"head": head}, IMAGE)
    for class_id in names:
        alone = Postprocess(names, conf=0.1, iou=iou, max_det=5000, classes=[class_id])({"head": head}, IMAGE)
        assert alone == found[np.flatnonzero(found.class_id == class_id)]
        uncut = (alone.xyxy > 0).all(axis=1) & (alone.xyxy < (100, 90, 100, 90)).all(axis=1)
        left, top, right, bottom = alone.xyxy[uncut].T
        width = np.minimum.outer(right, right) - np.maximum.outer(left, left)
        height = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
        both = width.clip(0) * height.clip(0)
        area = (right - left) * (bottom - top)
        overlap = both / np.maximum(np.add.outer(area, area) - both, 1e-9)
        np.fill_diagonal(overlap, 0)
        assert (overlap <= iou + 1e-3).all()  # float32, and classes moved apart cost a few of its bits


def test_boxes_that_overflow_in_the_image_are_an_error() -> None:
    """Finite on the canvas; where they are not clipped, as in val, not in the pixels of a larger image."""
    where = replace(Letterbox.fit((6400, 6400), (64, 64)), clip=False)
    head = np.full((64 + 16 + 4, 4 + len(NAMES)), -9, np.float32)
    head[5] = 3
    head[5, :4] = 1e37
    with pytest.raises(EngineError, match="boxes that are not finite"):
        Postprocess(NAMES, reg_max=1)({"head": head}, where)
