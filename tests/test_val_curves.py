"""Curves and confusion against Ultralytics' own, on the same detections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ultralytics.utils.metrics import ConfusionMatrix, ap_per_class
from ultralytics.utils.metrics import smooth as their_smooth
from val_scenes import assert_curves_are, scenes

from yolo_max.verify.val.confusion import Confusion
from yolo_max.verify.val.curves import Curves, smooth
from yolo_max.verify.val.ultralytics_map import Hits


@pytest.mark.parametrize("classes", [1, 4, 80])
@pytest.mark.parametrize("seed", range(3))
def test_curves_are_those_of_ultralytics(seed: int, classes: int) -> None:
    names, found = scenes(seed, classes)
    same = {class_id: class_id for class_id in names}
    hits = Hits.of(found, same)
    objects = np.concatenate([each.example.class_id for each in found])
    curves = Curves.of(names, found, same)
    assert_curves_are(curves, ap_per_class(hits.correct, hits.confidence, hits.class_id, objects))
    assert curves.names == tuple(names[class_id] for class_id in curves.class_id)
    assert curves.objects.sum() == len(objects)
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
    """Its validator counts what it was asked for, so all detections that exceed ``conf``."""
    names, found = scenes(seed, classes)
    found = [replace(each, detections=each.detections[each.detections.confidence > conf]) for each in found]
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
    ours = Confusion.of_boxes(names, found, {i: i for i in names})
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
