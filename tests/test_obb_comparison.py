"""Rotated detection's part of the parity rubric."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_obb_postprocess import CANVAS, CELLS, IMAGE, NAMES, random_outputs

from yolo_max.tasks.detect.tolerant_nms import MARGIN
from yolo_max.tasks.obb import tolerant_nms
from yolo_max.tasks.obb.comparison import RotatedHeadDifference, RotatedJudge
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.obb.tolerant_nms import RotatedTolerantNms
from yolo_max.tasks.rubric import CONFIDENCE_BOUND, MATCH_IOU, Verdict

Arrays = dict[str, np.ndarray]
POST = RotatedPostprocess(NAMES)
JUDGE = RotatedJudge(POST)


def nudged(outputs: Arrays, scale: float, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        name: each + rng.uniform(-scale, scale, each.shape).astype(np.float32)
        for name, each in outputs.items()
    }


def test_outputs_that_agree() -> None:
    outputs = random_outputs(0)
    difference = JUDGE.raw(nudged(outputs, 1e-4), outputs, CANVAS)
    assert difference.verdict.holds
    assert 0 < difference.box < 0.05
    assert 0 < difference.angle < 1e-3
    assert 0 < difference.score < 1e-4
    assert [each.name for each in difference.tensors] == ["head", "angle"]
    assert difference.samples().keys() | {"one_minus_iou", "confidence_difference"} == {
        measure.key for measure in JUDGE.measures
    }
    assert difference.to_dict()["angle_rad"] == difference.angle


@pytest.mark.parametrize(
    ("name", "column", "by", "expected"),
    [
        ("head", 3, 0.05, "a box differs"),
        ("head", 65, 0.05, "a score differs"),
        ("angle", 0, 0.01, "an angle differs by 0.0079 rad before NMS, more than 0.001 rad"),
    ],
)
def test_outputs_that_do_not_agree(name: str, column: int, by: float, expected: str) -> None:
    outputs = {
        "head": np.zeros((CELLS, 64 + len(NAMES)), np.float32),
        "angle": np.zeros((CELLS, 1), np.float32),
    }
    other = {key: each.copy() for key, each in outputs.items()}
    other[name][CELLS - 1, column] += by  # stride 32
    failures = JUDGE.raw(other, outputs, CANVAS).verdict.failures
    assert any(failure.startswith(f"{name} differs") for failure in failures)
    assert any(failure.startswith(expected) for failure in failures)


@pytest.mark.parametrize("name", ["head", "angle"])
def test_broken_outputs(name: str) -> None:
    outputs = random_outputs(0)
    broken = {**outputs, name: np.full_like(outputs[name], np.nan)}
    assert len(JUDGE.raw(broken, outputs, CANVAS).verdict.failures) == 4  # the output, and three bounds


def test_both_outputs_are_held_against_float64() -> None:
    outputs = random_outputs(0)
    exact = {name: each.astype(np.float64) for name, each in outputs.items()}
    near, far = nudged(outputs, 1e-6, 1), nudged(outputs, 1e-5, 2)
    difference = RotatedHeadDifference.between(far, near, CANVAS, POST, exact)
    assert sum("times as far from float64" in failure for failure in difference.verdict.failures) == 2


@st.composite
def _crowded(draw: st.DrawFn) -> tuple[Arrays, np.random.Generator]:
    """Outputs whose scores and overlaps gather around the thresholds and around each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outputs = random_outputs(int(rng.integers(1000)))
    outputs["head"][:, :64] = np.tile(-3 * abs(np.arange(16) - rng.choice([1, 3, 5])), 4)
    outputs["head"][:, 64:] = -12
    outputs["angle"] = rng.choice([-2, 0, 0.01, 1], (CELLS, 1)).astype(np.float32)
    chosen = rng.choice(CELLS, draw(st.integers(2, 60)), replace=False)
    near = rng.choice([1e-4, 5e-4, 0.02], (len(chosen), len(NAMES)))
    scores = rng.choice([0.25, 0.3, 0.5, 0.7], near.shape) + near * rng.normal(size=near.shape)
    outputs["head"][chosen, 64:] = np.log(scores / (1 - scores))
    return outputs, rng


@settings(max_examples=150, deadline=None)
@given(
    _crowded(),
    st.fixed_dictionaries(
        {
            "nms": st.booleans(),
            "agnostic_nms": st.booleans(),
            "multi_label": st.booleans(),
            "classes": st.sampled_from([None, [0, 2]]),
            "max_det": st.sampled_from([3, 10, 300]),
            "iou": st.sampled_from([0.1, 0.45, 0.7]),
        }
    ),
)
def test_no_rounding_overturns_a_sure_call(
    drawn: tuple[Arrays, np.random.Generator], options: dict[str, Any]
) -> None:
    outputs, rng = drawn
    post = RotatedPostprocess(NAMES, **options)
    nms = RotatedTolerantNms.of_outputs(outputs, IMAGE, post)
    for scale in (0.0, MARGIN / 100, MARGIN / 5):
        found = post(nudged(outputs, scale, int(rng.integers(1000))), IMAGE)
        assert list(nms.missing(found, "it", MATCH_IOU, CONFIDENCE_BOUND)) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [7, 256])
def test_without_a_margin_nothing_is_open(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerant_nms, "BLOCK", block)
    outputs = random_outputs(seed)
    nms = RotatedTolerantNms.of_outputs(outputs, IMAGE, POST, margin=1e-9)
    assert not nms.undecided.any()
    assert nms.must.sum() == len(POST(outputs, IMAGE)) > 10


def compare(ours: RotatedDetections, outputs: Arrays) -> Verdict:
    return JUDGE.predictions(ours, POST(outputs, IMAGE), outputs, IMAGE).verdict


def changed(found: RotatedDetections, **columns: float) -> RotatedDetections:
    """With numbers added to columns of the boxes."""
    boxes = found.xywhr.copy()
    for name, by in columns.items():
        boxes[:, ("x", "y", "width", "height", "angle").index(name)] += np.float32(by)
    return RotatedDetections(
        xywhr=boxes,
        confidence=found.confidence,
        class_id=found.class_id,
        names=found.names,
        image_size=found.image_size,
    )


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"angle": math.pi}, True),  # the same rectangles
        ({"x": 0.001, "angle": 1e-4}, True),
        ({"x": 1}, False),
        ({"angle": 0.1}, False),
        ({"width": 1}, False),
    ],
)
def test_detections(change: dict[str, float], holds: bool) -> None:
    outputs = random_outputs(2)
    assert compare(changed(POST(outputs, IMAGE), **change), outputs).holds == holds


def square(angle: float) -> Arrays:
    """One square, 4 cells wide, turned by an angle in radians."""
    outputs = {
        "head": np.full((CELLS, 64 + len(NAMES)), -12, np.float32),
        "angle": np.zeros((CELLS, 1), np.float32),
    }
    outputs["head"][100, :64] = np.tile(np.eye(16, dtype=np.float32)[2] * 30, 4)
    outputs["head"][100, 64] = 2
    outputs["angle"][100] = angle
    return outputs


@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        (0.3, 0.3, True),
        (1e-5, math.pi / 2 - 1e-5, True),  # the same square, though written otherwise
        (0.1, 0.3, False),  # which probabilistic IoU would not see
    ],
)
def test_squares(ours: float, theirs: float, holds: bool) -> None:
    judge = RotatedJudge(RotatedPostprocess(NAMES, angle_logit=False))
    found, reference = (judge.postprocess(square(angle), IMAGE) for angle in (ours, theirs))
    assert judge.predictions(found, reference, square(theirs), IMAGE).verdict.holds == holds


def test_what_one_lacks_is_a_failure() -> None:
    outputs = random_outputs(2)
    found = POST(outputs, IMAGE)
    difference = JUDGE.predictions(found[1:], found, outputs, IMAGE)
    assert [len(each) for each in difference.alone] == [0, 1]
    assert "MAX lacks 1 of" in difference.verdict.failures[0]


def test_the_size_of_the_outputs() -> None:
    outputs = random_outputs(0)
    assert JUDGE.output_size(CANVAS) == sum(each.size for each in outputs.values())
