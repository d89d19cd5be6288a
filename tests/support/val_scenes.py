"""Detections on objects, drawn by chance, and curves held against Ultralytics'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ap_per_class

from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.objects import Example

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


def by_ultralytics(found: Sequence[Found], overlaps: Sequence[NDArray[np.float64]]) -> tuple[Any, ...]:
    """What its ``ap_per_class`` says of detections, given their overlaps, [objects, detections] each."""
    validator: Any = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))
    statistics = []
    for each, overlap in zip(found, overlaps, strict=True):
        predicted, objects = each.detections.class_id, each.example.class_id
        classes = torch.tensor(predicted), torch.tensor(objects)
        correct = BaseValidator.match_predictions(validator, *classes, torch.tensor(overlap)).numpy()
        statistics.append((correct, each.detections.confidence, predicted, objects))
    theirs: tuple[Any, ...] = ap_per_class(*map(np.concatenate, zip(*statistics, strict=True)))
    return theirs


def assert_curves_are(curves: Curves, theirs: tuple[Any, ...]) -> None:
    """The curves are those of ``ap_per_class``, and so are the figures where the mean F1 is highest."""
    *_, precision, recall, f1, ap, present, p_curve, r_curve, f1_curve, x, at_recall = theirs
    assert curves.class_id == tuple(present)
    np.testing.assert_array_equal(curves.x, x)
    np.testing.assert_allclose(curves.precision, p_curve, atol=1e-6)
    np.testing.assert_allclose(curves.recall, r_curve, atol=1e-6)
    np.testing.assert_allclose(curves.f1, f1_curve, atol=1e-6)
    np.testing.assert_allclose(curves.precision_at_recall, at_recall, atol=1e-12)
    np.testing.assert_allclose(curves.ap50, ap[:, 0], atol=1e-12)
    best = curves.best
    for ours, of_them in ((curves.precision, precision), (curves.recall, recall), (curves.f1, f1)):
        np.testing.assert_allclose(ours[:, best], of_them, atol=1e-6)
