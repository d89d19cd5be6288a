from __future__ import annotations

import numpy as np
import pytest

from yolo_max.images.letterbox import Letterbox
from yolo_max.support.errors import ExitCode, ParityError
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.verify.parity.rubric import (
    DetectionDifference,
    HeadDifference,
    TensorDifference,
    Verdict,
    judge,
    judge_layers,
    judge_metric,
)
from yolo_max.verify.parity.tolerant_nms import TolerantNms

CANVAS = (64, 64)
LETTERBOX = Letterbox.fit((640, 640), CANVAS)
NAMES = {0: "disc", 1: "square"}
POST = Postprocess(NAMES)


@pytest.mark.parametrize(
    ("reference", "difference", "failure"),
    [
        ([1.0, -2.0], 4.9e-4, None),
        ([1.0, -2.0], 5.1e-4, "layer differs by 0.00051, more than 0.0005 (values up to 2)"),
        ([1.0, -9.9], 5.1e-4, "layer differs by 0.00051, more than 0.0005 (values up to 9.9)"),
        # above 10 the bound grows with the largest value
        ([1.0, -100.0], 4.8e-3, None),
        ([1.0, -100.0], 5.2e-3, "layer differs by 0.0052, more than 0.005 (values up to 100)"),
        ([1.0, -2.0], np.nan, "layer differs by inf, more than 0.0005 (values up to 2)"),
        ([1.0, -2.0], np.inf, "layer differs by inf, more than 0.0005 (values up to 2)"),
    ],
)
def test_bound_of_a_tensor(reference: list[float], difference: float, failure: str | None) -> None:
    theirs = np.array(reference, np.float32)
    ours = theirs + np.array([difference, 0], np.float32)
    verdict = TensorDifference.between("layer", ours, theirs).verdict
    assert verdict.failures == (() if failure is None else (failure,))


def test_nan_on_both_sides_is_not_agreement() -> None:
    nan = np.full(3, np.nan, np.float32)
    assert not TensorDifference.between("layer", nan, nan).verdict.holds


def test_another_shape_is_not_agreement() -> None:
    assert not TensorDifference.between(
        "layer", np.zeros(3, np.float32), np.zeros((3, 1), np.float32)
    ).verdict.holds


@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        (1e-5, 1e-5, True),
        (2.9e-5, 1e-5, True),
        (3.1e-5, 1e-5, False),
        (0.0, 0.0, True),
        (1e-6, 0.0, False),  # PyTorch is exact, and MAX is not
    ],
)
def test_distance_from_float64(ours: float, theirs: float, holds: bool) -> None:
    exact = np.zeros(100)
    noise = np.resize([1.0, -1.0], 100)
    difference = TensorDifference.between(
        "head", (ours * noise).astype(np.float32), (theirs * noise).astype(np.float32), exact
    )
    assert difference.verdict.holds
    assert difference.precision_verdict.holds is holds
    assert judge_layers([difference]).holds is holds
    # Only the last layer, where all rounding adds up, is compared with float64.
    assert judge_layers([difference, TensorDifference("head", 0, 1)]).holds


def test_any_layer_that_differs_is_a_failure() -> None:
    layers = [TensorDifference("a", 1e-3, 1), TensorDifference("b", 1e-4, 1), TensorDifference("head", 0, 1)]
    assert judge_layers(layers).failures == ("a differs by 0.001, more than 0.0005 (values up to 1)",)


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


@pytest.mark.parametrize(
    ("ours", "reference", "holds"),
    [(0.4310, 0.4314, True), (0.4310, 0.4316, False), (0.4316, 0.4310, False), (np.nan, 0.4, False)],
)
def test_map(ours: float, reference: float, holds: bool) -> None:
    assert judge_metric("mAP50-95", ours, reference).holds is holds


def test_verdicts_add_up() -> None:
    good, bad = Verdict(), Verdict(("a box is off",))
    assert judge([good, good]).holds
    total = judge([good, bad.about("cat.jpg"), bad.about("dog.jpg")])
    assert str(total) == "parity does not hold: cat.jpg: a box is off; dog.jpg: a box is off"
    assert str(good) == "parity holds"
    good.require()
    with pytest.raises(ParityError, match=r"dog\.jpg") as raised:
        total.require()
    assert raised.value.exit_code == ExitCode.PARITY
