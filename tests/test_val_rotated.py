"""Rotated boxes on labelled images, against Ultralytics' reading of the labels and its own sum."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fakes import write_image
from ultralytics.data.utils import verify_image_label
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ConfusionMatrix, ap_per_class, batch_probiou
from ultralytics.utils.ops import xyxyxyxy2xywhr
from val_datasets import NAMES, write_dataset

from yolo_max.support.errors import SourceError
from yolo_max.tasks.detect.task import DETECT
from yolo_max.tasks.obb.decode import corners
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.obb.task import OBB
from yolo_max.verify.val.confusion import Confusion
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.metrics import METRICS
from yolo_max.verify.val.rotated import RotatedBoxes, _smallest_rectangle, evaluate_rotated

SIZE = (300, 400)
SAME = {class_id: class_id for class_id in NAMES}


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    boxes = np.column_stack(
        [
            rng.uniform(80, 220, (count, 2)),
            rng.uniform(5, 80, (count, 2)),
            rng.uniform(-math.pi, math.pi, count),
        ]
    )
    return boxes.astype(np.float32)


def label_text(class_ids: np.ndarray, boxes: np.ndarray) -> str:
    fractions = corners(boxes) / np.array(SIZE[::-1], np.float32)
    return "".join(
        f"{class_id} {' '.join(f'{number:.6f}' for number in points.ravel())}\n"
        for class_id, points in zip(class_ids, fractions, strict=True)
    )


def detections(boxes: np.ndarray, class_ids: np.ndarray, confidence: np.ndarray) -> RotatedDetections:
    order = np.argsort(-confidence, kind="stable")
    return RotatedDetections(
        xywhr=boxes[order].astype(np.float32),
        confidence=confidence[order].astype(np.float32),
        class_id=class_ids[order].astype(np.int32),
        names=NAMES,
        image_size=SIZE,
    )


def scenes(tmp_path: Path, seed: int, images: int = 8) -> tuple[BoxDataset, list[Found]]:
    """Objects, each found once or twice, more or less in its place, and some that are not there."""
    rng = np.random.default_rng(seed)
    texts, found = {}, []
    for image in range(images):
        boxes, class_ids = random_boxes(rng, 8), rng.integers(0, 2, 8)
        texts[str(image)] = label_text(class_ids, boxes)
        again = rng.integers(0, 8, 12)
        moved = boxes[again] + rng.normal(0, [1, 1, 1, 1, 0.05], (12, 5)) * rng.choice([0.2, 2], (12, 1))
        strangers = random_boxes(rng, 4)
        guesses = np.concatenate([class_ids[again], rng.integers(0, 2, 4)])
        found.append(
            detections(np.concatenate([moved, strangers]), guesses, rng.uniform(0.01, 1, 16).astype("f4"))
        )
    data = write_dataset(tmp_path, dict(texts))
    dataset = load_dataset(data, kind=RotatedBoxes)
    return dataset, [Found(each, one) for each, one in zip(dataset.examples, found, strict=True)]


def by_ultralytics(dataset: BoxDataset, found: list[Found]) -> np.ndarray:
    """[classes, thresholds]"""
    validator = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))
    correct, confidence, predicted, objects = [], [], [], []
    for each in found:
        image = each.example.path
        labels = Path(str(image).replace("images", "labels")).with_suffix(".txt")
        read = verify_image_label((str(image), str(labels), "", False, len(NAMES), 0, 0, False))
        class_id, detected = torch.from_numpy(read[1][:, 0]), each.detections
        assert isinstance(detected, RotatedDetections)
        truth = xyxyxyxy2xywhr(np.stack([points * SIZE[::-1] for points in read[3]]))
        classes = torch.tensor(detected.class_id), class_id
        iou = batch_probiou(truth.astype(np.float32), np.array(detected.xywhr))
        correct.append(BaseValidator.match_predictions(validator, *classes, iou).numpy())
        confidence.append(each.detections.confidence)
        predicted.append(each.detections.class_id)
        objects.append(class_id.numpy())
    sums: np.ndarray = ap_per_class(*map(np.concatenate, (correct, confidence, predicted, objects)))[5]
    return sums


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_ultralytics_own_sum(tmp_path: Path, seed: int) -> None:
    dataset, found = scenes(tmp_path, seed)
    theirs = by_ultralytics(dataset, found)
    accuracy = evaluate_rotated(dataset, found, SAME)
    assert accuracy.images == 8
    assert accuracy.objects == 64
    got = [accuracy.mean.map50_95, accuracy.mean.map50, accuracy.mean.map75]
    assert got == pytest.approx([theirs.mean(), theirs[:, 0].mean(), theirs[:, 5].mean()], abs=1e-6)
    assert [each.precision.map50_95 for each in accuracy.classes] == pytest.approx(
        theirs.mean(axis=1).tolist(), abs=1e-6
    )
    assert 0.1 < theirs.mean() < 0.9
    assert accuracy.rows()[0].name == "disc"
    assert accuracy.total().figures.keys() == {"mAP50-95", "mAP50", "mAP75"}
    json.dumps(accuracy.to_dict())


@pytest.mark.parametrize("seed", range(4))
def test_classes_are_confused_as_by_ultralytics(tmp_path: Path, seed: int) -> None:
    dataset, found = scenes(tmp_path, seed)
    theirs = ConfusionMatrix(NAMES, task="obb")
    for each in found:
        truth = [_smallest_rectangle(np.reshape(row, (-1, 2)) * SIZE[::-1]) for row in each.example.shapes]
        detected: Any = each.detections
        theirs.process_batch(
            {
                "cls": torch.tensor(detected.class_id),
                "conf": torch.tensor(detected.confidence),
                "bboxes": torch.tensor(detected.xywhr),
            },
            {"cls": torch.tensor(each.example.class_id), "bboxes": torch.tensor(truth, dtype=torch.float32)},
            conf=0.001,
        )
    ours = Confusion.of_boxes(dataset.names, found, SAME, dataset.shape)
    np.testing.assert_array_equal(ours.counts, theirs.matrix)
    assert ours.counts[:-1, :-1].sum() > 10


def test_labels_that_come_back_are_all_right(tmp_path: Path) -> None:
    """What save_txt writes of some detections is read as the same boxes, whatever way they are written."""
    rng = np.random.default_rng(0)
    found = detections(random_boxes(rng, 9), rng.integers(0, 2, 9), rng.uniform(0, 1, 9))
    dataset = load_dataset(write_dataset(tmp_path, {"a": found.labels()}), kind=RotatedBoxes)
    accuracy = evaluate_rotated(dataset, [Found(dataset.examples[0], found)], SAME)
    assert accuracy.mean.map50_95 == pytest.approx(0.995, abs=1e-9)  # 1 by Ultralytics' formula


def test_nothing_to_find_and_nothing_found(tmp_path: Path) -> None:
    text = label_text(np.array([0]), np.array([[200, 100, 40, 10, 1]], np.float32))
    dataset = load_dataset(write_dataset(tmp_path, {"a": "", "b": text}), kind=RotatedBoxes)
    empty = RotatedDetections.empty(NAMES, SIZE)
    nothing, something = dataset.examples
    assert evaluate_rotated(dataset, [Found(nothing, empty)], SAME).mean.map50 is None
    assert evaluate_rotated(dataset, [Found(something, empty)], SAME).mean.map50 == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 0.5 0.5 0.2 0.2\n", "has upright boxes, where rotated ones are given by four corners"),
        ("0 0.5 0.5 0.2 0.2 0.3 0.3 0.1\n", "has 8 numbers in line 1, where a box has 5"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.3\n0 0.5 0.5 0.2 0.2\n", "mixes polygons with the box in line 2"),
        ("0 0.1 0.1 0.2 0.1 0.2 1.3 0.1 1.3\n", "has a number outside 0 to 1 in line 1"),
    ],
)
def test_labels_that_are_not_rotated_boxes(tmp_path: Path, text: str, problem: str) -> None:
    good = label_text(np.array([1]), np.array([[200, 100, 40, 10, 1]], np.float32))
    dataset = load_dataset(write_dataset(tmp_path, {"bad": text, "good": good}), kind=RotatedBoxes)
    assert [each.path.stem for each in dataset.examples] == ["good"]
    (found,) = dataset.problems
    assert found.endswith(problem)


def test_as_many_boxes_count_as_in_ultralytics() -> None:
    """Its validator, which needs torchvision, has these numbers in its constructor."""
    source = inspect.getsource(BaseValidator.__init__)
    assert f'= {OBB.val_conf} if self.args.task == "obb" else {DETECT.val_conf}' in source


def coco(tmp_path: Path, segmentation: Any) -> Path:
    write_image(tmp_path / "a.png", 0)
    annotation = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1], "segmentation": segmentation}
    record = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "disc"}],
        "annotations": [annotation],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(record))
    return path


def test_polygons_of_coco(tmp_path: Path) -> None:
    box = np.array([[20, 30, 16, 4, 0.5]], np.float32)
    dataset = load_dataset(coco(tmp_path, [corners(box).ravel().tolist()]), kind=RotatedBoxes)
    (example,) = dataset.examples
    found = detections(box, np.array([0]), np.array([0.9]))
    assert RotatedBoxes().overlap(example, found)[0, 0] > 0.99
    measured = METRICS["rotated_map"].measure(dataset, [(example, found)], {0: 3}, 300)
    (row,) = measured.predictions
    assert row["category_id"] == 3
    assert row["rbox"] == [20, 30, 16, 4, 0.5]
    assert len(row["poly"]) == 8
    assert "probabilistic IoU" in measured.definition
    assert measured.ultralytics == {}  # the figures are that already


@pytest.mark.parametrize(
    "segmentation",
    [[[1, 2, 3, 4]], [], None, {"counts": "abc", "size": [3, 4]}, [[math.nan] * 8], [[1e300] * 8]],
)
def test_other_annotations_of_coco(tmp_path: Path, segmentation: Any) -> None:
    with pytest.raises(SourceError, match="is not COCO's json of boxes"):
        load_dataset(coco(tmp_path, segmentation), kind=RotatedBoxes)
