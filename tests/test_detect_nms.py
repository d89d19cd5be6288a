from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.utils.nms import TorchNMS

from yolo_max.tasks.detect import nms as nms_module
from yolo_max.tasks.detect.nms import nms

Set = tuple[np.ndarray, np.ndarray]


def iou(a: np.ndarray, b: np.ndarray) -> np.float32:
    zero = np.float32(0)
    width = max(min(a[2], b[2]) - max(a[0], b[0]), zero)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), zero)
    area_a, area_b = (box[2:] - box[:2] for box in (a, b))
    union = area_a[0] * area_a[1] + area_b[0] * area_b[1] - width * height
    return np.float32(width * height / union) if union > 0 else zero


def oracle(xyxy: np.ndarray, confidence: np.ndarray, threshold: float) -> list[int]:
    """The definition, one pair at a time, in float32."""
    kept: list[int] = []
    for index in sorted(range(len(xyxy)), key=lambda i: (-confidence[i], i)):
        if all(iou(xyxy[better], xyxy[index]) <= np.float32(threshold) for better in kept):
            kept.append(index)
    return kept


def scattered(rng: np.random.Generator, count: int) -> Set:
    """Boxes anywhere, confidences all different."""
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(0.1, 60, (count, 2))])
    return boxes.astype(np.float32), rng.permutation(count).astype(np.float32) / max(count, 1)


def clustered(rng: np.random.Generator, count: int) -> Set:
    """A few objects with many nearly equal boxes each, as a detector gives them."""
    objects = rng.uniform(0, 500, (max(count // 12, 1), 2))
    centre = objects[rng.integers(len(objects), size=count)] + rng.normal(0, 4, (count, 2))
    half = rng.uniform(15, 30, (count, 2))
    boxes = np.hstack([centre - half, centre + half])
    return boxes.astype(np.float32), rng.permutation(count).astype(np.float32) / max(count, 1)


def on_a_grid(rng: np.random.Generator, count: int) -> Set:
    """Small integer boxes: duplicates, shared edges, IoUs of exactly 1/2 and 1/3."""
    corner = rng.integers(0, 6, (count, 2))
    boxes = np.hstack([corner, corner + rng.integers(1, 5, (count, 2))])
    return boxes.astype(np.float32), rng.permutation(count).astype(np.float32) / max(count, 1)


def tied(rng: np.random.Generator, count: int) -> Set:
    """Only four confidences among many boxes."""
    boxes, _ = on_a_grid(rng, count)
    return boxes, rng.integers(1, 5, count).astype(np.float32) / 4


def flat(rng: np.random.Generator, count: int) -> Set:
    """Some boxes without area, which overlap nothing, themselves included."""
    boxes, confidence = on_a_grid(rng, count)
    boxes[rng.random(count) < 0.5, 2] = 0
    boxes[:, 0] = np.minimum(boxes[:, 0], boxes[:, 2])
    return boxes, confidence


KINDS: list[Callable[[np.random.Generator, int], Set]] = [scattered, clustered, on_a_grid, tied, flat]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 5, 256])  # smaller blocks must change nothing but the speed
def test_it_is_the_definition(
    kind: Callable[[np.random.Generator, int], Set], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nms_module, "BLOCK", block)
    rng = np.random.default_rng(0)
    for _ in range(60):
        boxes, confidence = kind(rng, int(rng.integers(0, 40)))
        threshold = float(rng.choice([0, 1 / 3, 0.45, 0.5, 0.7, 1]))
        assert nms(boxes, confidence, threshold).tolist() == oracle(boxes, confidence, threshold)


@pytest.mark.parametrize("kind", [scattered, clustered, on_a_grid])
def test_thousands_of_random_sets_give_what_ultralytics_gives(
    kind: Callable[[np.random.Generator, int], Set],
) -> None:
    rng = np.random.default_rng(1)
    for _ in range(1000):
        boxes, confidence = kind(rng, int(rng.integers(1, 60)))
        threshold = float(rng.choice([0, 1 / 3, 0.45, 0.5, 0.7, 0.95]))
        expected = TorchNMS.nms(torch.from_numpy(boxes), torch.from_numpy(confidence), threshold)
        assert nms(boxes, confidence, threshold).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", [scattered, clustered])
def test_many_candidates_give_what_ultralytics_gives(
    kind: Callable[[np.random.Generator, int], Set],
) -> None:
    boxes, confidence = kind(np.random.default_rng(2), 2000)
    expected = TorchNMS.nms(torch.from_numpy(boxes), torch.from_numpy(confidence), 0.7)
    assert nms(boxes, confidence, 0.7).tolist() == expected.tolist()


def test_classes_moved_apart_give_what_ultralytics_gives_at_the_closest_calls() -> None:
    # 79 * 7680 leaves float32 a sixteenth of a pixel: enough to decide a close call, so it must be kept.
    rng = np.random.default_rng(3)
    boxes, confidence = clustered(rng, 1000)
    moved = boxes + (rng.integers(0, 80, (1000, 1)) * 7680).astype(np.float32)
    expected = TorchNMS.nms(torch.from_numpy(moved), torch.from_numpy(confidence), 0.7)
    assert nms(moved, confidence, 0.7).tolist() == expected.tolist()


@pytest.mark.parametrize("max_det", [1, 2, 17, 300, 5000])
def test_max_det_takes_the_best_of_the_unlimited_answer(max_det: int) -> None:
    boxes, confidence = scattered(np.random.default_rng(4), 2000)
    unlimited = nms(boxes, confidence, 0.5)
    assert len(unlimited) > 300
    assert nms(boxes, confidence, 0.5, max_det).tolist() == unlimited[:max_det].tolist()


def test_of_equal_confidences_the_first_wins() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3 + [[20, 20, 30, 30]] * 2, np.float32)
    assert nms(boxes, np.full(5, 0.5, np.float32), 0.7).tolist() == [0, 3]


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 1]), (0.49, [0])])
def test_a_box_overlapped_by_exactly_the_threshold_is_kept(threshold: float, kept: list[int]) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # IoU 1/2
    assert nms(boxes, np.array([0.9, 0.8], np.float32), threshold).tolist() == kept


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], np.float32)  # a chain, IoU 0.54 each
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.5).tolist() == [0, 2]


def test_nothing_in_nothing_out() -> None:
    assert nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.7).tolist() == []


def _arrays(rows: list[tuple[int, int, int, int, int]]) -> Set:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return np.hstack([table[:, :2], table[:, :2] + table[:, 2:4]]), table[:, 4] / 8


seeded = st.builds(
    lambda seed, kind, count: kind(np.random.default_rng(seed), count),
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.integers(0, 80),
)
drawn = st.lists(st.tuples(*[st.integers(0, 9)] * 4, st.integers(0, 8)), max_size=20).map(_arrays)


@settings(max_examples=150)
@given(
    candidates=seeded | drawn, threshold=st.floats(0, 1, width=32), random=st.randoms(use_true_random=False)
)
def test_invariants(candidates: Set, threshold: float, random: Random) -> None:
    boxes, confidence = candidates
    count = len(boxes)
    kept = nms(boxes, confidence, threshold)
    assert kept.tolist() == oracle(boxes, confidence, threshold)
    assert set(kept.tolist()) <= set(range(count))
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(confidence[kept]) <= 0).all()
    assert count == 0 or kept[0] == np.argmax(confidence)  # the best box always survives
    assert all(iou(boxes[a], boxes[b]) <= threshold for a, b in combinations(kept, 2))
    # What survived survives again, and all of it.
    assert nms(boxes[kept], confidence[kept], threshold).tolist() == list(range(len(kept)))
    # The order in which the candidates come does not matter, ties apart.
    if len(set(confidence.tolist())) == count:
        shuffle = np.array(random.sample(range(count), count), np.int64)
        again = shuffle[nms(boxes[shuffle], confidence[shuffle], threshold)]
        assert again.tolist() == kept.tolist()
