"""Detection's part of the parity rubric."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.detect.comparison import DetectionDifference, HeadDifference
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.detect.tolerant_nms import TolerantNms
from yolo_max.tasks.rubric import Verdict, judge_bf16

CANVAS = (64, 64)
LETTERBOX = Letterbox.fit((640, 640), CANVAS)
NAMES = {0: "disc", 1: "square"}
POST = Postprocess(NAMES)


def _head(rng: np.random.Generator) -> np.ndarray:
    head = np.concatenate([rng.normal(0, 2, (84, 64)), rng.normal(-4, 2, (84, 2))], axis=1)
    return head.astype(np.float32)


def test_heads_that_agree() -> None:
    rng = np.random.default_rng(0)
    head = _head(rng)
    nudged = head + rng.uniform(-1e-4, 1e-4, head.shape).astype(np.float32)
    difference = HeadDifference.between(nudged, head, CANVAS)
    assert difference.verdict.holds
    assert 0 < difference.box < 0.05
    assert 0 < difference.score < 1e-4


@pytest.mark.parametrize(
    ("channel", "by", "expected"),
    [
        (3, 0.05, "a box differs"),
        (65, 0.05, "a score differs"),
    ],
)
def test_heads_that_do_not_agree(channel: int, by: float, expected: str) -> None:
    head = np.zeros((84, 66), np.float32)
    other = head.copy()
    other[80, channel] += by  # stride 32
    failures = HeadDifference.between(other, head, CANVAS).verdict.failures
    assert any(failure.startswith("head differs") for failure in failures)
    assert any(failure.startswith(expected) for failure in failures)


def test_broken_heads() -> None:
    head = np.zeros((84, 66), np.float32)
    nan = np.full_like(head, np.nan)
    assert len(HeadDifference.between(nan, head, CANVAS).verdict.failures) == 3


def test_classes_that_are_wrong_in_bf16_are_a_failure() -> None:
    """Among the values of a head, those of its boxes are the largest: beside them 4 is little."""
    rng = np.random.default_rng(0)
    head = np.concatenate([rng.normal(0, 3, (8400, 64)), rng.normal(-8, 2, (8400, 80))], axis=1)
    head[0, 0] = 48
    head[:400, 64] = 2  # objects: scores of 0.88
    head = head.astype(np.float32)
    wrong = head.copy()
    wrong[:400, 64:] -= 4  # 0.12
    difference = HeadDifference.between(wrong, head, (640, 640))
    assert judge_bf16(difference.tensors, 0).holds
    assert judge_bf16(difference.tensors, difference.score).failures == (
        "a class score differs by 0.76, more than 0.4",
    )


def _scene(*scores: float) -> np.ndarray:
    """A head with one box of class 0 for each score, in anchors far apart."""
    head = np.full((84, 66), -12, np.float32)
    head[:, :64] = np.tile(np.eye(16, dtype=np.float32)[1] * 30, 4)
    for anchor, score in zip((0, 7, 56, 63), scores, strict=False):
        head[anchor, 64] = np.log(score / (1 - score))
    return head


def _compare(ours: Detections, theirs: np.ndarray) -> Verdict:
    return DetectionDifference.between(
        ours, POST({"head": theirs}, LETTERBOX), TolerantNms.of(theirs, LETTERBOX, POST)
    ).verdict


@pytest.mark.parametrize(
    ("ours", "theirs", "failures"),
    [
        ((0.9, 0.8), (0.9, 0.8), ()),
        ((), (), ()),
        # one engine has a box just above the threshold, the other has it just below
        ((0.9, 0.2503), (0.9, 0.2497), ()),
        ((0.9, 0.2497), (0.9, 0.2503), ()),
        # the same, not so near
        (
            (0.9, 0.26),
            (0.9, 0.24),
            (
                "MAX has 1 of 2 detections that no rounding brings about",
                "1 detection only MAX has, far from any threshold",
            ),
        ),
        (
            (0.9, 0.24),
            (0.9, 0.26),
            (
                "MAX lacks 1 of 2 detections that no rounding removes",
                "1 detection only PyTorch has, far from any threshold",
            ),
        ),
        # confidences apart by more than 0.001
        (
            (0.9, 0.8),
            (0.9, 0.802),
            (
                "MAX lacks 1 of 2 detections that no rounding removes",
                "MAX has 1 of 2 detections that no rounding brings about",
                "1 pair of detections is too far apart (IoU down to 1.0000, confidences up to 0.002 apart)",
            ),
        ),
    ],
)
def test_detections(ours: tuple[float, ...], theirs: tuple[float, ...], failures: tuple[str, ...]) -> None:
    assert _compare(POST({"head": _scene(*ours)}, LETTERBOX), _scene(*theirs)).failures == failures


def test_a_moved_box_is_a_failure() -> None:
    head = _scene(0.9)
    found = POST({"head": head}, LETTERBOX)
    moved = Detections(found.xyxy + np.float32(1), found.confidence, found.class_id, NAMES, (640, 640))
    assert not _compare(moved, head).holds


def test_a_mistake_that_both_sides_share_is_a_failure() -> None:
    """Shared post-processing cannot vouch for itself: tolerant NMS does not use it."""
    head = _scene(0.9, 0.8)
    both = POST({"head": head}, LETTERBOX)[:1]
    verdict = DetectionDifference.between(both, both, TolerantNms.of(head, LETTERBOX, POST)).verdict
    assert verdict.failures == (
        "MAX lacks 1 of 2 detections that no rounding removes",
        "PyTorch lacks 1 of 2 detections that no rounding removes",
    )
