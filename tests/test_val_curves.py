"""Curves and confusion against Ultralytics' own, on the same detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ultralytics.utils.metrics import ConfusionMatrix, ap_per_class
from ultralytics.utils.metrics import smooth as their_smooth

from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.val.confusion import Confusion
from yolo_max.verify.val.curves import Curves, smooth
from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.objects import Example
from yolo_max.verify.val.ultralytics_map import Hits

SIZE = (300, 400)


def scenes(seed: int, classes: int = 4, images: int = 12) -> tuple[dict[int, str], list[Found]]:
    """Objects, each found once or twice, more or less in its place, some as another class; and strangers.

    Some images have no object, some no detection; the last class has objects and is never found.
    """
    random = np.random.default_rng(seed)
    names = {10 * i: f"class {i}" for i in range(classes)}
    ids = np.array(list(names))
    found = []
    for image in range(images):
        count = 0 if image == 3 else int(random.integers(1, 12))
        start = random.uniform(0, 250, (count, 2))
        boxes = np.hstack([start, start + random.uniform(10, 120, (count, 2))])
        true = random.choice(ids, count)
        again = random.integers(0, max(count, 1), 0 if image == 5 or not count else 15)
        moved = boxes[again] + random.normal(0, 1, (len(again), 4)) * random.choice([1, 8], (len(again), 1))
        strange = 0 if image == 5 else 3
        corner = random.uniform(0, 250, (strange, 2))
        every = np.concatenate([moved, np.hstack([corner, corner + 40])]).astype(np.float32)
        guess = np.where(random.random(len(again)) < 0.8, true[again], random.choice(ids, len(again)))
        guess = np.concatenate([guess, random.choice(ids, strange)])
        guess[guess == ids[-1]] = ids[0]
        confidence = np.sort(random.uniform(0.001, 1, len(every)).astype(np.float32))[::-1]
        example = Example(
            *(Path(f"{image}.png"), image, true, boxes, False),
            *(np.full(count, np.nan), np.zeros(count, bool)),
        )
        found.append(Found(example, Detections(every, confidence, guess.astype(np.int32), names, SIZE)))
    return names, found


@pytest.mark.parametrize("classes", [1, 4, 80])
@pytest.mark.parametrize("seed", range(3))
def test_curves_are_those_of_ultralytics(seed: int, classes: int) -> None:
    names, found = scenes(seed, classes)
    same = {class_id: class_id for class_id in names}
    hits = Hits.of(found, same)
    objects = np.concatenate([each.example.class_id for each in found])
    theirs = ap_per_class(hits.correct, hits.confidence, hits.class_id, objects)
    *_, precision, recall, f1, ap, present, p_curve, r_curve, f1_curve, x, at_recall = theirs
    curves = Curves.of(names, found, same)
    assert curves.names == tuple(names[class_id] for class_id in present)
    assert curves.class_id == tuple(present)
    assert curves.objects.sum() == len(objects)
    np.testing.assert_array_equal(curves.x, x)
    np.testing.assert_allclose(curves.precision, p_curve, atol=1e-6)
    np.testing.assert_allclose(curves.recall, r_curve, atol=1e-6)
    np.testing.assert_allclose(curves.f1, f1_curve, atol=1e-6)
    np.testing.assert_allclose(curves.precision_at_recall, at_recall, atol=1e-12)
    np.testing.assert_allclose(curves.ap50, ap[:, 0], atol=1e-12)
    best = curves.best
    for ours, of_them in ((curves.precision, precision), (curves.recall, recall), (curves.f1, f1)):
        np.testing.assert_allclose(ours[:, best], of_them, atol=1e-6)
    assert classes == 1 or 0.1 < curves.ap50.mean() < 0.9


def test_nothing_to_find_has_no_curve() -> None:
    assert len(Curves.of({0: "a"}, [], {0: 0})) == 0
    assert Curves.of({0: "a"}, [], {0: 0}).best == 0


@pytest.mark.parametrize("length", [10, 999, 1000])
def test_smoothing(length: int) -> None:
    curve = np.random.default_rng(length).random(length)
    np.testing.assert_allclose(smooth(curve), their_smooth(curve, 0.1), atol=1e-12)


@pytest.mark.parametrize("conf", [0.001, 0.25, 0.6])
@pytest.mark.parametrize("classes", [1, 4, 80])
@pytest.mark.parametrize("seed", range(3))
def test_confusion_is_that_of_ultralytics(seed: int, classes: int, conf: float) -> None:
    names, found = scenes(seed, classes)
    place = {class_id: i for i, class_id in enumerate(names)}
    theirs = ConfusionMatrix(names)
    for each in found:
        detections, example = each.detections, each.example
        theirs.process_batch(
            {
                "cls": torch.tensor([place[i] for i in detections.class_id.tolist()]),
                "conf": torch.tensor(detections.confidence),
                "bboxes": torch.tensor(detections.xyxy),
            },
            {
                "cls": torch.tensor([place[i] for i in example.class_id.tolist()]),
                "bboxes": torch.tensor(example.xyxy, dtype=torch.float32).reshape(-1, 4),
            },
            conf=conf,
        )
    ours = Confusion.of_boxes(names, found, {i: i for i in names}, conf=conf)
    np.testing.assert_array_equal(ours.counts, theirs.matrix)
    assert ours.names == (*names.values(), "background")
    columns = ours.normalized.sum(axis=0)
    assert np.isclose(columns, 1).sum() + (columns == 0).sum() == len(columns)


def test_confusion_of_classes() -> None:
    names = {0: "a", 1: "b", 2: "c"}
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(50):
        pairs.append((int(random.integers(0, 3)), int(random.integers(0, 3))))
    theirs = ConfusionMatrix(names, task="classify")
    predicted = torch.tensor([[found] for _, found in pairs])
    theirs.process_cls_preds([predicted], [torch.tensor([true for true, _ in pairs])])
    ours = Confusion.of_classes(names, pairs, {i: i for i in names})
    np.testing.assert_array_equal(ours.counts, theirs.matrix)
    without = Confusion.of_classes(names, pairs, {0: 0, 1: 1})  # a class that the dataset does not have
    np.testing.assert_array_equal(without.counts[:2], ours.counts[:2])
    assert not without.counts[2].any()
