from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.detect.tolerant_nms import MARGIN, TolerantNms
from yolo_max.tasks.rubric import CONFIDENCE_BOUND, MATCH_IOU

CANVAS = (64, 64)
LETTERBOX = Letterbox.fit((480, 480), CANVAS)
NC = 3
NAMES = {i: f"class {i}" for i in range(NC)}
ANCHORS = 8 * 8 + 4 * 4 + 2 * 2
POST = Postprocess(NAMES)


def _logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def _head(boxes: list[tuple[int, float, float, float]], size: float = 2.0) -> np.ndarray:
    """A head with (anchor, score of class 0, 1, 2); every box reaches ``size`` cells to each side."""
    head = np.full((ANCHORS, 64 + NC), -12, np.float32)
    head[:, :64] = _sides(size)
    for anchor, *scores in boxes:
        head[anchor, 64:] = [_logit(s) if s else -12 for s in scores]
    return head


def _sides(cells: float) -> np.ndarray:
    """DFL logits whose expectation is ``cells`` on all sides."""
    low = int(cells)
    logits = np.full((4, 16), -30, np.float32)
    logits[:, low] = np.log(max(1 - (cells - low), 1e-9))
    logits[:, low + 1] = np.log(max(cells - low, 1e-9))
    return logits.ravel()


def _outcomes(head: np.ndarray, post: Postprocess = POST) -> dict[tuple[int, float], str]:
    """(class, score to 4 digits) -> "must", "undecided" or "drop"."""
    nms = TolerantNms.of(head, LETTERBOX, post)
    state = np.where(nms.must, "must", np.where(nms.may, "undecided", "drop"))
    keys = zip(nms.class_id.tolist(), nms.confidence.tolist(), strict=True)
    return {(c, round(s, 4)): str(name) for (c, s), name in zip(keys, state, strict=True)}


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        # far from everything
        ([(0, 0.9, 0, 0)], {(0, 0.9): "must"}),
        # at the confidence threshold, on either side of it, and just out of its reach
        ([(0, 0.2505, 0, 0)], {(0, 0.2505): "undecided"}),
        ([(0, 0.2495, 0, 0)], {(0, 0.2495): "undecided"}),
        ([(0, 0.2515, 0, 0)], {(0, 0.2515): "must"}),
        ([(0, 0.2485, 0, 0)], {}),
        # a cell that may be of either class
        ([(0, 0.9, 0.8995, 0)], {(0, 0.9): "undecided", (1, 0.8995): "undecided"}),
        ([(0, 0.9, 0.898, 0)], {(0, 0.9): "must"}),
        # far apart: no suppression
        ([(0, 0.9, 0, 0), (63, 0.8, 0, 0)], {(0, 0.9): "must", (0, 0.8): "must"}),
        # neighbours of different classes do not suppress each other
        ([(0, 0.9, 0, 0), (1, 0, 0.8, 0)], {(0, 0.9): "must", (1, 0.8): "must"}),
    ],
)
def test_fates_without_overlap(
    boxes: list[tuple[int, float, float, float]], expected: dict[tuple[int, float], str]
) -> None:
    assert _outcomes(_head(boxes)) == expected


# Neighbouring anchors of stride 8: IoU (2 * size - 1) / (2 * size + 1), which is 0.7 at 17/6 cells.
@pytest.mark.parametrize(
    ("size", "boxes", "expected"),
    [
        # well above the IoU threshold: the better box stays
        (5.0, [(0, 0.9, 0, 0), (1, 0.8, 0, 0)], {(0, 0.9): "must", (0, 0.8): "drop"}),
        # well below: both stay
        (2.0, [(0, 0.9, 0, 0), (1, 0.8, 0, 0)], {(0, 0.9): "must", (0, 0.8): "must"}),
        # at the threshold
        (17 / 6, [(0, 0.9, 0, 0), (1, 0.8, 0, 0)], {(0, 0.9): "must", (0, 0.8): "undecided"}),
        # equals: either may go
        (5.0, [(0, 0.9, 0, 0), (1, 0.8995, 0, 0)], {(0, 0.9): "undecided", (0, 0.8995): "undecided"}),
        # the one that would drop the second is itself in doubt
        (5.0, [(0, 0.2508, 0, 0), (1, 0.2506, 0, 0)], {(0, 0.2508): "undecided", (0, 0.2506): "undecided"}),
        # a chain (1st overlaps 2nd, 2nd 3rd, not 1st 3rd): the second surely goes, so the third stays
        (
            4.0,
            [(0, 0.9, 0, 0), (1, 0.8, 0, 0), (2, 0.7, 0, 0)],
            {(0, 0.9): "must", (0, 0.8): "drop", (0, 0.7): "must"},
        ),
        # the same chain with its head in doubt
        (
            4.0,
            [(0, 0.9, 0.8995, 0), (1, 0.8, 0, 0), (2, 0.7, 0, 0)],
            {(0, 0.9): "undecided", (1, 0.8995): "undecided", (0, 0.8): "undecided", (0, 0.7): "undecided"},
        ),
    ],
)
def test_fates_of_neighbours(
    size: float, boxes: list[tuple[int, float, float, float]], expected: dict[tuple[int, float], str]
) -> None:
    assert _outcomes(_head(boxes, size)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"agnostic_nms": True}, {(0, 0.9): "must", (1, 0.8): "drop"}),
        ({"classes": [1]}, {(1, 0.8): "must"}),
        ({"max_det": 1}, {(0, 0.9): "must", (1, 0.8): "drop"}),
        ({"max_det": 2}, {(0, 0.9): "must", (1, 0.8): "must"}),
        ({"conf": 0.8005}, {(0, 0.9): "must", (1, 0.8): "undecided"}),
    ],
)
def test_options(options: dict[str, object], expected: dict[tuple[int, float], str]) -> None:
    head = _head([(0, 0.9, 0, 0), (1, 0, 0.8, 0)], size=5)
    assert _outcomes(head, replace(POST, **options)) == expected  # type: ignore[arg-type]


def test_max_det_between_equals_leaves_them_undecided() -> None:
    head = _head([(0, 0.9, 0, 0), (7, 0.8, 0, 0), (63, 0.8005, 0, 0)])
    assert _outcomes(head, replace(POST, max_det=2)) == {
        (0, 0.9): "must",
        (0, 0.8): "undecided",
        (0, 0.8005): "undecided",
    }


def test_multi_label_makes_a_candidate_of_each_class() -> None:
    head = _head([(0, 0.9, 0.5, 0.2502)])
    post = replace(POST, multi_label=True)
    assert _outcomes(head, post) == {(0, 0.9): "must", (1, 0.5): "must", (2, 0.2502): "undecided"}


@st.composite
def _crowded_heads(draw: st.DrawFn) -> tuple[np.ndarray, np.random.Generator]:
    """Heads whose scores and overlaps gather around the thresholds and around each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    head = np.full((ANCHORS, 64 + NC), -12, np.float32)
    count = draw(st.integers(2, 40))
    sizes = rng.choice([17 / 6, 3, 5, 2], ANCHORS) + rng.choice([0, 1e-3, 0.3], ANCHORS) * rng.normal(
        size=ANCHORS
    )
    head[:, :64] = [_sides(float(size)) for size in sizes.clip(0.1, 14)]
    chosen = rng.choice(ANCHORS, count, replace=False)
    scores = rng.choice([0.25, 0.3, 0.5, 0.7], (count, NC)) + rng.choice(
        [1e-4, 5e-4, 0.02], (count, NC)
    ) * rng.normal(size=(count, NC))
    head[chosen, 64:] = np.log(scores / (1 - scores))
    return head, rng


@settings(max_examples=300)
@given(
    _crowded_heads(),
    st.sampled_from([False, True]),
    st.sampled_from([False, True]),
    st.sampled_from([False, True]),
    st.sampled_from([None, [0, 2]]),
    st.sampled_from([3, 10, 300]),
)
def test_no_rounding_overturns_a_sure_call(
    drawn: tuple[np.ndarray, np.random.Generator],
    suppress: bool,
    agnostic: bool,
    multi_label: bool,
    classes: list[int] | None,
    max_det: int,
) -> None:
    head, rng = drawn
    post = replace(
        POST, nms=suppress, agnostic_nms=agnostic, multi_label=multi_label, classes=classes, max_det=max_det
    )
    nms = TolerantNms.of(head, LETTERBOX, post)
    # A step of MARGIN / 5 in a logit moves a score by at most MARGIN / 20.
    for scale in (0.0, MARGIN / 100, MARGIN / 5):
        nudged = head + rng.uniform(-scale, scale, head.shape).astype(np.float32)
        found = post({"head": nudged}, LETTERBOX)
        assert list(nms.missing(found, "it", MATCH_IOU, CONFIDENCE_BOUND)) == []


@settings(max_examples=200)
@given(_crowded_heads())
def test_without_a_margin_nothing_but_ties_is_open(drawn: tuple[np.ndarray, np.random.Generator]) -> None:
    head, _ = drawn
    nms = TolerantNms.of(head, LETTERBOX, POST, margin=1e-9)
    found = POST({"head": head}, LETTERBOX)
    assert nms.must.sum() <= len(found) <= nms.may.sum()
    assert nms.undecided.sum() <= 2 + 0.2 * len(nms.may)  # an IoU may be the threshold up to rounding


def test_sees_what_is_missing_and_what_is_too_many() -> None:
    head = _head([(0, 0.9, 0, 0), (63, 0, 0.8, 0)])
    nms, found = TolerantNms.of(head, LETTERBOX, POST), POST({"head": head}, LETTERBOX)
    assert list(nms.missing(found[:1], "MAX", MATCH_IOU, CONFIDENCE_BOUND)) == [
        "MAX lacks 1 of 2 detections that no rounding removes"
    ]
    moved = Detections(found.xyxy + np.float32(9), found.confidence, found.class_id, NAMES, found.image_size)
    assert list(nms.missing(moved, "MAX", MATCH_IOU, CONFIDENCE_BOUND)) == [
        "MAX lacks 2 of 2 detections that no rounding removes",
        "MAX has 2 of 2 detections that no rounding brings about",
    ]


@pytest.mark.parametrize("conf", [0.0005, MARGIN])  # at and below the margin of a threshold
def test_at_a_low_threshold_not_every_cell_is_a_candidate(conf: float) -> None:
    head = _head([(3, 0.9, 0, 0)])
    assert len(TolerantNms.of(head, LETTERBOX, replace(POST, conf=conf)).confidence) == 1
