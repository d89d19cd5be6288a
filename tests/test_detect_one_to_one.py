"""Detections of a one-to-one head, without NMS, against Ultralytics' own decoding and top-k."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics.nn.modules import Detect
from ultralytics_nms import non_max_suppression

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.detect.postprocess import Postprocess

CANVAS = (128, 128)
STRIDES = (8, 16)
CELLS = 16 * 16 + 8 * 8
NAMES = {i: f"class {i}" for i in range(5)}


def random_head(seed: int, reg_max: int) -> NDArray[np.float32]:
    """Many confident cells, several classes in some of them; no two scores are equal."""
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.5, 4, (CELLS, 4 * reg_max))
    logits = rng.permutation(np.linspace(-6, 4, CELLS * len(NAMES))).reshape(CELLS, len(NAMES))
    return np.concatenate([boxes, logits], axis=1).astype(np.float32)


def by_ultralytics(
    head: NDArray[np.float32],
    reg_max: int,
    conf: float,
    classes: list[int] | None,
    max_det: int,
    agnostic: bool,
) -> NDArray[np.float32]:
    """[N, 6] in canvas pixels, as its predictor comes to them with nms=False."""
    module = Detect(len(NAMES), reg_max, True, (16, 16)).eval()
    module.end2end = True
    module.stride = torch.tensor(STRIDES)
    module.max_det, module.agnostic_nms = max(max_det, 300), agnostic
    boxes, scores = torch.from_numpy(head).T[None].split((4 * reg_max, len(NAMES)), 1)
    maps = [torch.zeros(1, 16, CANVAS[0] // stride, CANVAS[1] // stride) for stride in STRIDES]
    with torch.inference_mode():
        decoded = module._inference({"boxes": boxes, "scores": scores, "feats": maps})
        top = module.postprocess(decoded.permute(0, 2, 1))
    (found,) = non_max_suppression(top, conf, classes=classes, max_det=max_det, end2end=True)
    return np.asarray(found.numpy())


@pytest.mark.parametrize("reg_max", [1, 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conf": 0.001},  # more than 300 candidates
        {"conf": 0.001, "max_det": 7},
        {"conf": 0.001, "max_det": 1000},  # more than there are cells
        {"conf": 0.001, "classes": [1, 3]},  # picked among the best 300
        {"agnostic_nms": True},  # a cell gives its best class only
        {"conf": 0.001, "agnostic_nms": True, "classes": [0], "max_det": 20},
        {"conf": 1.0},  # none
        {"iou": 0.0, "multi_label": True},  # options of NMS have no effect
    ],
    ids=str,
)
def test_detections_are_those_of_ultralytics(options: dict[str, Any], reg_max: int) -> None:
    postprocess = Postprocess(NAMES, STRIDES, reg_max, nms=False, **options)
    head = random_head(len(options), reg_max)
    ours = postprocess({"head": head}, Letterbox.fit(CANVAS, CANVAS))
    theirs = by_ultralytics(
        head,
        reg_max,
        postprocess.conf,
        options.get("classes"),
        postprocess.max_det,
        postprocess.agnostic_nms,
    )
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours.confidence, theirs[:, 4], atol=1e-6)
    np.testing.assert_array_equal(ours.class_id, theirs[:, 5])
    np.testing.assert_allclose(ours.xyxy, theirs[:, :4].clip(0, CANVAS[0]), atol=1e-3)


def test_a_network_that_leaves_out_other_cells_gives_the_same() -> None:
    postprocess = Postprocess(NAMES, STRIDES, 1, nms=False, conf=0.3)
    head = random_head(0, 1)
    cells = np.flatnonzero(head[:, 4:].max(axis=1) > postprocess.min_logit)
    where = Letterbox.fit(CANVAS, CANVAS)
    assert 0 < len(cells) < CELLS
    assert postprocess({"head": head[cells], "cells": cells}, where) == postprocess({"head": head}, where)
