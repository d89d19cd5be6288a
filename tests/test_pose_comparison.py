"""Poses' part of the parity rubric."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.pose.comparison import PoseJudge
from yolo_max.tasks.pose.decoder import PosePostprocess
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.rubric import Verdict

CANVAS = (64, 64)
PLACEMENT = Letterbox.fit((320, 640), CANVAS)  # ten image pixels for each canvas pixel
NAMES = {0: "person"}
SHAPE = (4, 3)
POST = PosePostprocess(NAMES, kpt_shape=SHAPE)
JUDGE = PoseJudge(POST)

Outputs = dict[str, NDArray[np.float32]]


def scene(*scores: float) -> Outputs:
    """One pose for each score, in cells far apart."""
    head = np.full((84, 65), -12, np.float32)
    head[:, :64] = np.tile(np.eye(16, dtype=np.float32)[1] * 30, 4)
    for cell, score in zip((18, 21, 42, 45), scores, strict=False):
        head[cell, 64] = np.log(score / (1 - score))
    keypoints = np.random.default_rng(0).normal(0, 0.3, (84, 12)).astype(np.float32)
    return {"head": head, "keypoints": keypoints}


def nudged(outputs: Outputs, channel: int, by: float, cell: int = 18) -> Outputs:
    keypoints = outputs["keypoints"].copy()
    keypoints[cell, channel] += np.float32(by)
    return {**outputs, "keypoints": keypoints}


@pytest.mark.parametrize(
    ("cell", "channel", "by", "failures"),
    [
        (18, 0, 0, []),
        # in cells of 8 pixels an offset counts 16 times, in those of 32 pixels 64 times
        (18, 0, 4e-4, []),
        (18, 0, 0.007, ["keypoints differs by 0.007", "a keypoint differs by 0.11 px before NMS"]),
        (83, 1, 0.002, ["keypoints differs by 0.002", "a keypoint differs by 0.13 px before NMS"]),
        (
            83,
            1,
            np.nan,
            ["keypoints differs by inf", "a keypoint differs by inf", "a visibility differs by inf"],
        ),
        # near 0 a logit counts a quarter
        (18, 2, 3e-4, []),
        (18, 2, 4.8e-4, ["a visibility differs by 0.00012 before NMS, more than 8e-05"]),
    ],
)
def test_before_nms(cell: int, channel: int, by: float, failures: list[str]) -> None:
    reference = scene(0.9)
    reference["keypoints"][cell, 2] = 0
    found = JUDGE.raw(nudged(reference, channel, by, cell), reference, CANVAS).verdict.failures
    assert len(found) == len(failures)
    for failure, beginning in zip(found, failures, strict=True):
        assert failure.startswith(beginning)


def test_the_head_is_judged_as_for_detection() -> None:
    reference = scene(0.9)
    head = reference["head"].copy()
    head[:, 64] += np.float32(0.01)
    failures = JUDGE.raw({**reference, "head": head}, reference, CANVAS).verdict.failures
    assert [failure.split()[0] for failure in failures] == ["head", "a"]


def test_float64_is_closer_to_the_keypoints_than_they_may_be() -> None:
    reference, exact = scene(0.9), scene(0.9)
    rng = np.random.default_rng(2)
    noise = {scale: rng.normal(0, scale, (84, 12)).astype(np.float32) for scale in (1e-6, 1e-5)}
    theirs = {**reference, "keypoints": reference["keypoints"] + noise[1e-6]}
    ours = {**reference, "keypoints": reference["keypoints"] + noise[1e-5]}
    (failure,) = JUDGE.raw(ours, theirs, CANVAS, exact).verdict.failures
    assert failure.startswith("keypoints is")
    assert "times as far from float64" in failure


def compare(ours: Poses, theirs: Outputs) -> Verdict:
    return JUDGE.predictions(ours, POST(theirs, PLACEMENT), theirs, PLACEMENT).verdict


@pytest.mark.parametrize(
    ("by", "failures"),
    [
        (0.0, ()),
        (0.9, ()),  # in the image: less than a tenth of a pixel on the canvas
        (1.5, ("the keypoints of 1 pair are up to 0.15 px apart, more than 0.1 px",)),
    ],
)
def test_keypoints_of_a_pair(by: float, failures: tuple[str, ...]) -> None:
    outputs = scene(0.9, 0.8)
    found = POST(outputs, PLACEMENT)
    keypoints = found.keypoints.copy()
    keypoints[1, 2, 1] += np.float32(by)
    moved = Poses(found.xyxy, found.confidence, found.class_id, NAMES, (320, 640), keypoints)
    difference = JUDGE.predictions(moved, found, outputs, PLACEMENT)
    assert difference.verdict.failures == failures
    assert difference.samples["pair_keypoint_px"].max() == pytest.approx(by / 10, abs=1e-5)


def test_which_of_two_cells_wins_may_be_rounding() -> None:
    """Two cells with the same box: one or the other is kept, each with keypoints of its own."""
    ours, theirs = scene(), scene()
    for cell, mine, yours in ((18, 2.0, 2.00001), (19, 2.00001, 2.0)):
        ours["head"][cell, 64], theirs["head"][cell, 64] = mine, yours
    for outputs in (ours, theirs):  # the second box reaches one cell further to the left
        outputs["head"][19, :32] = np.concatenate([np.eye(16)[2], np.eye(16)[1]]) * 30
        outputs["head"][19, 32:48] = np.eye(16)[0] * 30
    first, second = POST(ours, PLACEMENT), POST(theirs, PLACEMENT)
    assert len(first) == len(second) == 1
    assert np.abs(first.xy - second.xy).max() > 10
    assert compare(first, theirs).holds


def test_the_raw_outputs_of_an_image() -> None:
    assert JUDGE.output_size(CANVAS) == sum(each.size for each in scene().values())
