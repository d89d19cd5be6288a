"""Raw outputs to poses, against Ultralytics' own decoding, NMS and scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics.nn.modules.head import Pose, Pose26
from ultralytics.utils.ops import scale_boxes, scale_coords
from ultralytics_nms import non_max_suppression

from yolo_max.images.letterbox import Letterbox
from yolo_max.support.errors import EngineError
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.pose.decoder import PosePostprocess, decode_keypoints
from yolo_max.tasks.pose.poses import Poses

CANVAS = (96, 128)
STRIDES = (8, 16, 32)
CELLS = 12 * 16 + 6 * 8 + 3 * 4
NAMES = {0: "person", 1: "cat", 2: "dog"}
SHAPES = [(17, 3), (17, 2), (5, 3), (1, 2)]
PLACEMENTS = [
    Letterbox.fit((90, 100), CANVAS),  # bars left and right
    Letterbox.fit((333, 1000), CANVAS),  # bars above and below, and other gains
    Letterbox.fit((40, 61), CANVAS),  # enlarged
    Letterbox.fit(CANVAS, CANVAS),
]


def random_outputs(seed: int, shape: tuple[int, int], reg_max: int = 16) -> dict[str, NDArray[np.float32]]:
    """Clusters of confident cells, and keypoints in the box, outside it and outside the image."""
    rng = np.random.default_rng(seed)
    head = rng.normal(0, 2, (CELLS, 4 * reg_max + len(NAMES))).astype(np.float32)
    scores = rng.permutation(np.linspace(-9, 3, CELLS * len(NAMES))).reshape(CELLS, -1)  # no two are equal
    head[:, 4 * reg_max :] = scores
    keypoints = rng.normal(0, 3, (CELLS, shape[0] * shape[1])).astype(np.float32)
    return {"head": head, "keypoints": keypoints}


def by_ultralytics(
    outputs: Outputs,
    where: Letterbox,
    kind: type[Pose],
    shape: tuple[int, int],
    reg_max: int,
    *,
    nms: bool,
    conf: float = 0.25,
    **options: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes [N, 6] and keypoints [N, K, D], in pixels of the image."""
    module = kind(len(NAMES), shape, reg_max, not nms, (16, 16, 16)).eval()
    module.stride, module.end2end = torch.tensor(STRIDES), not nms
    maps = [torch.zeros(1, 16, CANVAS[0] // stride, CANVAS[1] // stride) for stride in STRIDES]
    boxes, scores = torch.from_numpy(outputs["head"]).T[None].split((4 * reg_max, len(NAMES)), 1)
    raw = {
        "boxes": boxes,
        "scores": scores,
        "feats": maps,
        "kpts": torch.from_numpy(outputs["keypoints"]).T[None],
    }
    with torch.inference_mode():
        prediction = module._inference(raw)
        if not nms:
            prediction = module.postprocess(prediction.permute(0, 2, 1))
        (found,) = non_max_suppression(
            prediction.clone(), conf, 0.7, nc=len(NAMES), end2end=not nms, max_time_img=60, **options
        )
        # as in PosePredictor.construct_result
        keypoints = scale_coords(where.canvas_size, found[:, 6:].view(len(found), *shape), where.image_size)
        scale_boxes(where.canvas_size, found[:, :4], where.image_size)
    return np.asarray(found[:, :6].numpy()), np.asarray(keypoints.numpy())


@pytest.mark.parametrize("where", PLACEMENTS, ids=lambda where: f"{where.image_size}")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("kind", "nms", "reg_max"), [(Pose, True, 16), (Pose, False, 16), (Pose26, True, 1), (Pose26, False, 1)]
)
def test_poses_are_those_of_ultralytics(
    kind: type[Pose], nms: bool, reg_max: int, shape: tuple[int, int], where: Letterbox
) -> None:
    outputs = random_outputs(sum(shape), shape, reg_max)
    decoder = PosePostprocess(NAMES, STRIDES, reg_max, nms, kpt_shape=shape, doubled=kind is Pose)
    found = decoder(outputs, where)
    boxes, keypoints = by_ultralytics(outputs, where, kind, shape, reg_max, nms=nms)
    assert len(found) == len(boxes) > 5
    np.testing.assert_array_equal(found.class_id, boxes[:, 5])
    np.testing.assert_allclose(found.confidence, boxes[:, 4], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.xyxy, boxes[:, :4], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.xy, keypoints[..., :2], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.keypoints[..., 2:], keypoints[..., 2:], rtol=0, atol=1e-6)
    height, width = where.image_size
    on_the_border = (found.xy == 0) | (found.xy == np.array([width, height], np.float32))
    assert on_the_border.any()  # clipped


@pytest.mark.parametrize(
    "options",
    [{}, {"classes": [2]}, {"agnostic_nms": True}, {"max_det": 3}, {"conf": 0.001, "multi_label": True}],
)
def test_options_are_those_of_detection(options: dict[str, Any]) -> None:
    outputs, where = random_outputs(1, (5, 3)), PLACEMENTS[0]
    found = PosePostprocess(NAMES, kpt_shape=(5, 3), **options)(outputs, where)
    theirs = {"agnostic" if name == "agnostic_nms" else name: value for name, value in options.items()}
    boxes, keypoints = by_ultralytics(outputs, where, Pose, (5, 3), 16, nms=True, **theirs)
    assert len(found) == len(boxes)
    np.testing.assert_allclose(found.keypoints, keypoints, rtol=0, atol=2e-3)


@pytest.mark.parametrize("options", [{}, {"nms": False}])
def test_some_cells_give_what_all_give(options: dict[str, Any]) -> None:
    outputs = random_outputs(2, (17, 3))
    decoder = PosePostprocess(NAMES, **options)
    cells = np.flatnonzero((outputs["head"][:, 64:] > decoder.min_logit).any(axis=1))
    assert 0 < len(cells) < CELLS
    some: Outputs = {"cells": cells, **{name: each[cells] for name, each in outputs.items()}}
    found = decoder(some, PLACEMENTS[0])
    assert len(found)
    assert found == decoder(outputs, PLACEMENTS[0])


def test_nothing_has_keypoints_of_the_same_shape() -> None:
    outputs = random_outputs(0, (17, 3))
    outputs["head"][:, 64:] = -20
    found = PosePostprocess(NAMES)(outputs, PLACEMENTS[0])
    assert found == Poses.empty(NAMES, PLACEMENTS[0].image_size, (17, 3))


def test_keypoints_by_hand() -> None:
    points, stride = np.array([[2.5, 0.5]], np.float32), np.array([[8]], np.float32)
    raw = np.array([[1.5, -1, 0]], np.float32)
    # from the corner of the cell at (16, 0), twice 1.5 cells to the right and twice 1 cell up
    assert decode_keypoints(raw, points, stride, (1, 3), doubled=True).tolist() == [[[40, -16, 0.5]]]
    # from its centre at (20, 4), 1.5 cells to the right and 1 cell up
    assert decode_keypoints(raw, points, stride, (1, 3), doubled=False).tolist() == [[[32, -4, 0.5]]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_broken_network_is_an_error(value: float) -> None:
    outputs = random_outputs(0, (5, 3))
    decoder = PosePostprocess(NAMES, kpt_shape=(5, 3))
    best = outputs["head"][:, 64:].max(axis=1).argmax()
    outputs["keypoints"][best, 0] = value
    with pytest.raises(EngineError, match="keypoints that are not finite"):
        decoder(outputs, PLACEMENTS[0])


@pytest.mark.parametrize(
    "keypoints",
    [
        np.zeros((CELLS, 16), np.float32),  # too many numbers
        np.zeros((CELLS - 1, 15), np.float32),  # too few cells
        np.zeros((CELLS, 15)),  # another dtype
    ],
)
def test_keypoints_that_do_not_fit_are_refused(keypoints: NDArray[Any]) -> None:
    outputs = {**random_outputs(0, (5, 3)), "keypoints": keypoints}
    with pytest.raises(ValueError, match="The keypoints must be float32"):
        PosePostprocess(NAMES, kpt_shape=(5, 3))(outputs, PLACEMENTS[0])
