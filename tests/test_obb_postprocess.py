"""Rotated detections of random heads, against Ultralytics' own decoding, NMS, scaling and results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.engine.results import Results
from ultralytics.models.yolo.obb import OBBPredictor
from ultralytics.nn.modules.head import OBB, OBB26
from ultralytics_nms import non_max_suppression

from yolo_max.images.letterbox import Letterbox
from yolo_max.output.records import record
from yolo_max.output.tables import csv_table
from yolo_max.support.errors import EngineError
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.obb import task
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.obb.tolerant_nms import RotatedTolerantNms

CANVAS = (96, 128)
CELLS = 12 * 16 + 6 * 8 + 3 * 4
NAMES = {i: f"class {i}" for i in range(5)}
IMAGE = Letterbox.fit((90, 100), CANVAS)


def random_outputs(seed: int, bins: int = 16) -> dict[str, np.ndarray]:
    """Clusters of confident cells among much background, boxes long and short, turned anyhow."""
    rng = np.random.default_rng(seed)
    boxes = rng.normal(0, 2, (CELLS, 4 * bins)) if bins > 1 else rng.uniform(0.3, 4, (CELLS, 4))
    logits = rng.permutation(np.linspace(-9, -2, CELLS * len(NAMES))).reshape(CELLS, len(NAMES))
    objects = rng.random(CELLS) < 0.2
    logits[objects] += rng.normal(4, 2, (objects.sum(), len(NAMES)))
    return {
        "head": np.concatenate([boxes, logits], axis=1).astype(np.float32),
        "angle": rng.normal(0, 2, (CELLS, 1)).astype(np.float32),
    }


def by_ultralytics(
    outputs: Outputs, where: Letterbox, bins: int = 16, logit: bool = True, nms: bool = True, **options: Any
) -> Results:
    """What its predictor makes of the same raw outputs."""
    module = (OBB if logit else OBB26)(len(NAMES), 1, bins, not nms, (16, 16, 16)).eval()
    module.end2end = not nms
    module.stride = torch.tensor([8, 16, 32])
    module.agnostic_nms = options.get("agnostic", False)
    module.max_det = max(options.get("max_det", 300), 300)
    raw = {name: torch.from_numpy(each).T[None] for name, each in outputs.items()}
    boxes, scores = raw["head"].split((4 * bins, len(NAMES)), 1)
    angle = (raw["angle"].sigmoid() - 0.25) * math.pi if logit else raw["angle"]
    maps = [torch.zeros(1, 16, where.canvas_size[0] // s, where.canvas_size[1] // s) for s in (8, 16, 32)]
    with torch.inference_mode():
        decoded = module._inference({"boxes": boxes, "scores": scores, "feats": maps, "angle": angle})
        if not nms:
            decoded = module.postprocess(decoded.permute(0, 2, 1))
    (found,) = non_max_suppression(
        decoded, nc=len(NAMES), rotated=True, end2end=not nms, max_time_img=60, **options
    )
    predictor = SimpleNamespace(model=SimpleNamespace(names=NAMES))
    image = np.zeros((*where.image_size, 3), np.uint8)
    result: Results = OBBPredictor.construct_result(
        predictor, found, torch.zeros(1, 3, *where.canvas_size), image, "image.jpg"
    )
    return result


def assert_same(found: RotatedDetections, result: Results) -> None:
    theirs = result.obb
    order = np.argsort(-theirs.conf.numpy(), kind="stable")
    assert len(found) == len(order)
    np.testing.assert_allclose(found.confidence, theirs.conf[order], atol=1e-6)
    np.testing.assert_array_equal(found.class_id, theirs.cls[order])
    np.testing.assert_allclose(found.xywhr, theirs.xywhr[order], atol=2e-3)
    np.testing.assert_allclose(found.xyxyxyxy, theirs.xyxyxyxy[order], atol=2e-3)
    np.testing.assert_allclose(found.xyxy, theirs.xyxy[order], atol=2e-3)


CHOICES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"conf_thres": 0.25, "iou_thres": 0.7}),  # the defaults
    ({"conf": 0.001, "multi_label": True}, {"conf_thres": 0.001, "iou_thres": 0.7, "multi_label": True}),
    ({"conf": 0.0}, {"conf_thres": 0.0, "iou_thres": 0.7}),  # every cell
    ({"iou": 0.3}, {"conf_thres": 0.25, "iou_thres": 0.3}),
    ({"agnostic_nms": True}, {"conf_thres": 0.25, "iou_thres": 0.7, "agnostic": True}),
    ({"classes": [1, 4]}, {"conf_thres": 0.25, "iou_thres": 0.7, "classes": [1, 4]}),
    ({"max_det": 3}, {"conf_thres": 0.25, "iou_thres": 0.7, "max_det": 3}),
    ({"conf": 0.001, "max_nms": 40}, {"conf_thres": 0.001, "iou_thres": 0.7, "max_nms": 40}),
    ({"conf": 1.0}, {"conf_thres": 1.0, "iou_thres": 0.7}),  # nothing
]


@pytest.mark.parametrize(("bins", "logit"), [(16, True), (1, False)], ids=["OBB", "OBB26"])
@pytest.mark.parametrize(("ours", "theirs"), CHOICES, ids=str)
def test_it_finds_what_ultralytics_finds(
    ours: dict[str, Any], theirs: dict[str, Any], bins: int, logit: bool
) -> None:
    outputs = random_outputs(len(str(ours)), bins)
    post = RotatedPostprocess(NAMES, reg_max=bins, angle_logit=logit, **ours)
    # No rounding may decide, which torch does differently on different processors.
    nms = RotatedTolerantNms.of_outputs(outputs, IMAGE, post, margin=1e-6)
    assert not nms.undecided.any()
    assert_same(post(outputs, IMAGE), by_ultralytics(outputs, IMAGE, bins, logit, **theirs))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"conf_thres": 0.25}),
        ({"conf": 0.001, "max_det": 7}, {"conf_thres": 0.001, "max_det": 7}),
        ({"conf": 0.001, "classes": [1, 3]}, {"conf_thres": 0.001, "classes": [1, 3]}),
        ({"conf": 0.001, "agnostic_nms": True}, {"conf_thres": 0.001, "agnostic": True}),
        ({"iou": 0.0}, {"conf_thres": 0.25}),  # no NMS, no effect
    ],
    ids=str,
)
@pytest.mark.parametrize("logit", [True, False])
def test_a_one_to_one_head_needs_no_nms(ours: dict[str, Any], theirs: dict[str, Any], logit: bool) -> None:
    outputs = random_outputs(7, 1)
    post = RotatedPostprocess(NAMES, reg_max=1, nms=False, angle_logit=logit, **ours)
    assert_same(post(outputs, IMAGE), by_ultralytics(outputs, IMAGE, 1, logit, nms=False, **theirs))


def test_some_rows_give_what_all_rows_give() -> None:
    outputs, post = random_outputs(3), RotatedPostprocess(NAMES)
    cells = np.flatnonzero((outputs["head"][:, 64:] > post.min_logit).any(axis=1))
    some = {"cells": cells, **{name: each[cells] for name, each in outputs.items()}}
    assert 0 < len(cells) < CELLS
    assert post(some, IMAGE) == post(outputs, IMAGE)
    with pytest.raises(ValueError, match=r"The angles must be float32 \(\d+, 1\), not float32 \(252, 1\)"):
        post({**some, "angle": outputs["angle"]}, IMAGE)


@pytest.mark.parametrize(("name", "column"), [("angle", 0), ("head", 0), ("head", 66)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_outputs_are_an_error(name: str, column: int, value: float) -> None:
    outputs = random_outputs(0)
    outputs["head"][:, 64:] = 3
    outputs[name][5, column] = value
    post = RotatedPostprocess(NAMES, angle_logit=False)
    if (name, column, value) == ("head", 66, np.inf):
        assert len(post(outputs, IMAGE))  # a confidence of 1
        return
    with pytest.raises(EngineError, match=r"the network gave (boxes|class logits) that are"):
        post(outputs, IMAGE)


FOUND = RotatedPostprocess(NAMES)(random_outputs(1), IMAGE)


def test_a_record_restores_the_same() -> None:
    assert len(FOUND) > 5
    text = json.dumps(record("a.jpg", prediction=FOUND))
    restored = RotatedDetections.from_dict(json.loads(text), NAMES)
    assert restored == FOUND
    np.testing.assert_array_equal(restored.xyxyxyxy, FOUND.xyxyxyxy)
    np.testing.assert_array_equal(restored.xyxy, FOUND.xyxy)
    (box, *_) = json.loads(text)["boxes"]
    assert box.keys() == {"class_id", "class_name", "confidence", "xyxy", "xywhr", "xyxyxyxy"}
    assert np.shape(box["xyxyxyxy"]) == (4, 2)


@pytest.mark.parametrize("change", [{"xywhr": [1, 2, 3]}, {"xywhr": None}, {"confidence": 2}])
def test_other_records_are_refused(change: dict[str, Any]) -> None:
    damaged = FOUND[:1].to_dict()
    damaged["boxes"][0].update(change)
    with pytest.raises(ValueError):  # noqa: PT011  (NumPy's words)
        RotatedDetections.from_dict(damaged)
    del damaged["boxes"][0]["xywhr"]
    with pytest.raises(ValueError, match="does not describe RotatedDetections"):
        RotatedDetections.from_dict(damaged)


@pytest.mark.parametrize("confidence", [False, True])
def test_labels_are_those_of_save_txt(tmp_path: Path, confidence: bool) -> None:
    rows = np.column_stack([FOUND.xywhr, FOUND.confidence, FOUND.class_id])
    image = np.zeros((*FOUND.image_size, 3), np.uint8)
    result = Results(image, path="image.jpg", names=NAMES, obb=torch.from_numpy(rows).float())
    result.save_txt(tmp_path / "a.txt", save_conf=confidence)
    theirs = [line.split() for line in (tmp_path / "a.txt").read_text().splitlines()]
    ours = [line.split() for line in FOUND.labels(confidence=confidence).splitlines()]
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    # %g shows six digits, of which a cosine's last bit may change the last.
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=2e-5, atol=1e-6)
    assert RotatedDetections.empty(NAMES, (3, 4)).labels() == ""


def test_csv() -> None:
    table = csv_table(task.OBB, lambda: [record("a.jpg", prediction=FOUND)])
    header, *rows = (line.split(",") for line in table.splitlines())
    shape = ["x", "y", "width", "height", "angle", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]
    assert header == ["path", "class_id", "class_name", "confidence", *shape]
    numbers = np.array([row[4:] for row in rows], float)
    np.testing.assert_allclose(numbers[:, :5], FOUND.xywhr, rtol=1e-6)
    np.testing.assert_allclose(numbers[:, 5:], FOUND.xyxyxyxy.reshape(-1, 8), rtol=1e-6)


def test_the_result() -> None:
    first, *_ = FOUND
    assert first == FOUND[0]
    assert first.class_name == NAMES[first.class_id]
    assert first.xywhr == tuple(FOUND.xywhr[0].tolist())
    assert first.xyxy == tuple(FOUND.xyxy[0].tolist())
    assert len(first.xyxyxyxy) == 4
    height, width = FOUND.image_size
    np.testing.assert_allclose(FOUND.xyxyxyxyn * np.array([width, height]), FOUND.xyxyxyxy, rtol=1e-6)
    assert len(FOUND[1:3]) == 2
    assert FOUND[FOUND.confidence > 0.5] == FOUND[: int((FOUND.confidence > 0.5).sum())]
    assert str(FOUND[:0]) == "nothing (90x100)"
    marks = FOUND.marks().boxes
    assert [mark.corners for mark in marks] == [box.xyxyxyxy for box in FOUND]
    with pytest.raises(ValueError, match=r"RotatedDetections need xywhr as float32 \(1, 5\)"):
        RotatedDetections(
            xywhr=np.zeros((1, 4), np.float32),
            confidence=np.ones(1, np.float32),
            class_id=np.zeros(1, np.int32),
            names=NAMES,
            image_size=(3, 4),
        )
    with pytest.raises(ValueError, match="finite"):
        RotatedDetections(
            xywhr=np.full((1, 5), np.nan, np.float32),
            confidence=np.ones(1, np.float32),
            class_id=np.zeros(1, np.int32),
            names=NAMES,
            image_size=(3, 4),
        )


def test_boxes_that_overflow_in_the_image_are_an_error() -> None:
    """Finite on the canvas, but not in the pixels of a larger image."""
    outputs = random_outputs(0, bins=1)
    outputs["head"][:, 4:] = -9
    outputs["head"][5] = 3
    outputs["head"][5, :4] = 1e37
    with pytest.raises(EngineError, match="boxes that are not finite"):
        RotatedPostprocess(NAMES, reg_max=1)(outputs, Letterbox.fit((9600, 12800), CANVAS))
