from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.matching import box_iou
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.evaluate import Found, evaluate, ground_truth, other_sizes, predictions
from yolo_max.verify.val.objects import Example
from yolo_max.verify.val.ultralytics_map import mean_average_precision

NAMES = {0: "disc", 1: "square", 2: "star"}
SIZE = (480, 640)
Row = tuple[int, float, float, float, float]


def _example(image_id: int, *rows: Row, crowd: bool = False) -> Example:
    table = np.array(rows, np.float64).reshape(-1, 5)
    count = len(table)
    return Example(
        Path(f"{image_id}.jpg"),
        image_id,
        table[:, 0].astype(np.int64),
        table[:, 1:],
        False,
        np.full(count, np.nan),
        np.full(count, crowd),
    )


def _detections(*rows: tuple[float, int, float, float, float, float]) -> Detections:
    table = np.array(sorted(rows, key=lambda row: -row[0]), np.float32).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 0], table[:, 1].astype(np.int32), NAMES, SIZE)


def _dataset(found: list[Found]) -> BoxDataset:
    return BoxDataset(Path("data.yaml"), NAMES, tuple(each.example for each in found))


def _same(names: Mapping[int, str]) -> dict[int, int]:
    return {class_id: class_id for class_id in names}


def _map(*found: Found) -> float | None:
    return evaluate(_dataset(list(found)), found, _same(NAMES)).mean.map50_95


BOX = (0, 100.0, 100.0, 200.0, 200.0)


@pytest.mark.parametrize(
    ("objects", "found", "expected"),
    [
        # what is there is found, and nothing else
        ([BOX], [(0.9, *BOX)], 1.0),
        # nothing is found
        ([BOX], [], 0.0),
        # nothing is there to find
        ([], [(0.9, *BOX)], None),
        ([], [], None),
        # one of two is found: precision 1 up to recall 0.5, which is 51 of 101 recalls
        ([BOX, (0, 300, 100, 400, 200)], [(0.9, *BOX)], 51 / 101),
        # a false alarm with less confidence costs nothing, with more it halves the precision
        ([BOX], [(0.9, *BOX), (0.8, 0, 300, 100, 400, 200)], 1.0),
        ([BOX], [(0.9, 0, 300, 100, 400, 200), (0.8, *BOX)], 0.5),
        # so does a box without area, clipped to the edge of the image
        ([BOX], [(0.9, 0, 300, 480, 400, 480), (0.8, *BOX)], 0.5),
        # found twice: the second is a false alarm, but comes too late to cost anything
        ([BOX], [(0.9, *BOX), (0.8, *BOX)], 1.0),
        # another class is no find
        ([BOX], [(0.9, 1, 100, 100, 200, 200)], 0.0),
        # IoU 0.77 passes the thresholds 0.5 to 0.75: 6 of 10
        ([BOX], [(0.9, 0, 100, 100, 200, 177)], 0.6),
        # classes count alike, however many objects they have
        ([BOX, (1, 300, 100, 400, 200)], [(0.9, *BOX)], 0.5),
    ],
)
def test_map_by_hand(
    objects: list[Row], found: list[tuple[float, int, float, float, float, float]], expected: float | None
) -> None:
    got = _map(Found(_example(1, *objects), _detections(*found)))
    assert got == (None if expected is None else pytest.approx(expected))


def test_a_crowd_is_neither_to_be_found_nor_a_false_alarm() -> None:
    with_crowd = Found(_example(1, BOX, crowd=True), _detections((0.9, *BOX)))
    other = Found(_example(2, BOX), _detections((0.8, *BOX)))
    accuracy = evaluate(_dataset([with_crowd, other]), [with_crowd, other], _same(NAMES))
    assert accuracy.mean.map50_95 == pytest.approx(1)
    assert (accuracy.images, accuracy.objects, accuracy.classes[0].objects) == (2, 1, 1)


def test_sizes_and_classes() -> None:
    small, large = (0, 10.0, 10.0, 30.0, 30.0), (1, 100.0, 100.0, 300.0, 300.0)
    found = [Found(_example(1, small, large), _detections((0.9, *small)))]
    accuracy = evaluate(_dataset(found), found, _same(NAMES))
    assert [(each.name, each.precision.map50_95) for each in accuracy.classes] == [
        ("disc", pytest.approx(1)),
        ("square", 0),
    ]
    assert accuracy.mean.small == pytest.approx(1)
    assert accuracy.mean.medium is None
    assert accuracy.mean.large == 0


def test_the_area_of_an_object_may_be_less_than_its_box() -> None:
    example = replace(_example(1, BOX), area=np.array([900.0]))
    accuracy = evaluate(_dataset([]), [Found(example, _detections((0.9, *BOX)))], _same(NAMES))
    assert accuracy.mean.small == pytest.approx(1)
    assert accuracy.mean.large is None


def _random(seed: int, images: int = 40) -> list[Found]:
    """Objects, and detections that are moved, missing, doubled, mistaken or made up."""
    rng = np.random.default_rng(seed)
    found = []
    for image_id in range(1, images + 1):
        objects, detections = [], []
        for _ in range(rng.integers(0, 8)):
            x, y, size = rng.uniform(0, 500), rng.uniform(0, 350), rng.choice([15, 60, 150])
            width, height = size * rng.uniform(0.5, 1.5, 2)
            row = (int(rng.integers(3)), x, y, x + width, y + height)
            objects.append(row)
            for _ in range(rng.integers(0, 3)):
                moved = np.array(row[1:]) + rng.normal(0, size / 10, 4)
                class_id = row[0] if rng.random() < 0.9 else int(rng.integers(3))
                detections.append((float(rng.uniform(0.01, 1)), class_id, *moved.tolist()))
        for _ in range(rng.integers(0, 4)):
            x, y = rng.uniform(0, 400, 2)
            detections.append((float(rng.uniform(0.01, 0.5)), int(rng.integers(3)), x, y, x + 50, y + 50))
            detections.append((float(rng.uniform(0.01, 0.9)), int(rng.integers(3)), x, 480, x + 50, 480))
        found.append(Found(_example(image_id, *objects), _detections(*detections)))
    return found


def _pycocotools(found: list[Found], max_det: int) -> list[float]:
    """The same figures from the reference implementation of COCO's evaluation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = copy.deepcopy(ground_truth(_dataset(found), found))
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(predictions(found, _same(NAMES))), "bbox")
        evaluator.params.maxDets = [1, 10, max_det]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.where(evaluator.eval["precision"] < 0, np.nan, evaluator.eval["precision"])[..., -1]
    everything = precision[:, :, :, 0]
    sizes = [float(np.nanmean(precision[:, :, :, size])) for size in (1, 2, 3)]
    return [float(np.nanmean(each)) for each in (everything, everything[0], everything[5])] + sizes


@pytest.mark.parametrize(("seed", "max_det"), [(0, 300), (1, 300), (2, 3)])
def test_agrees_with_pycocotools(seed: int, max_det: int) -> None:
    found = _random(seed)
    mean = evaluate(_dataset(found), found, _same(NAMES), max_det).mean
    got = [mean.map50_95, mean.map50, mean.map75, mean.small, mean.medium, mean.large]
    assert got == pytest.approx(_pycocotools(found, max_det), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_ultralytics_own_sum(seed: int) -> None:
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class

    found = _random(seed)
    validator = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))
    correct, confidence, predicted, objects = [], [], [], []
    for each in found:
        classes = torch.tensor(each.detections.class_id), torch.tensor(each.example.class_id)
        iou = torch.tensor(box_iou(each.example.xyxy, each.detections.xyxy))
        correct.append(BaseValidator.match_predictions(validator, *classes, iou).numpy())
        confidence.append(each.detections.confidence)
        predicted.append(each.detections.class_id)
        objects.append(each.example.class_id)
    theirs = ap_per_class(*map(np.concatenate, (correct, confidence, predicted, objects)))[5]
    got = mean_average_precision(found, _same(NAMES))
    assert got == pytest.approx((theirs.mean(), theirs[:, 0].mean()), abs=1e-9)


def test_nothing_to_find_has_no_mean() -> None:
    assert mean_average_precision([Found(_example(1), _detections((0.9, *BOX)))], _same(NAMES)) is None
    assert mean_average_precision([], _same(NAMES)) is None
    assert mean_average_precision([Found(_example(1, BOX), _detections())], _same(NAMES)) == (0, 0)


def test_all_classes_as_one() -> None:
    other = (1, *BOX[1:])
    found = [Found(_example(1, BOX), _detections((0.9, *other)))]
    assert evaluate(_dataset(found), found, _same(NAMES)).mean.map50_95 == 0
    one = _dataset(found).as_one_class()
    found = [replace(found[0], example=one.examples[0])]
    accuracy = evaluate(one, found, dict.fromkeys(NAMES, 0))
    assert accuracy.mean.map50_95 == pytest.approx(1)
    assert [each.name for each in accuracy.classes] == ["item"]


def test_other_sizes_than_stated_are_warned_of() -> None:
    height, width = SIZE
    stated = [None, SIZE, (2 * height, 2 * width), (width, height)]  # unknown, right, doubled, turned
    found = [
        Found(replace(_example(i, BOX), image_size=size), _detections()) for i, size in enumerate(stated)
    ]
    assert other_sizes(found[:2]) == ()
    (warning,) = other_sizes(found)
    assert warning.startswith(
        "2 images of another size than the annotations state (2.jpg: 640 x 480, not 1280 x 960)"
    )


def test_images_may_share_an_id_or_have_words_for_one() -> None:
    found = [
        Found(replace(_example(1, BOX), image_id=image_id), _detections((0.9, *BOX)))
        for image_id in ("a", 7, 7)
    ]
    assert _map(*found) == pytest.approx(1)


def test_detections_of_other_classes_are_left_out() -> None:
    found = [Found(_example(5, BOX), _detections((0.9, *BOX), (0.5, 2, 0, 0, 10, 10)))]
    assert predictions(found, {0: 90}) == [
        {
            "image_id": 5,
            "file_name": "5.jpg",
            "category_id": 90,
            "bbox": [100.0, 100.0, 100.0, 100.0],
            "score": 0.9,
        }
    ]


def test_boxes_beyond_the_border_are_clipped_for_coco_and_not_for_ultralytics() -> None:
    """As in Ultralytics, whose validator matches boxes on the canvas, and clips those that it saves."""
    found = [Found(_example(1, (0, 540.0, 100.0, 640.0, 200.0)), _detections((0.9, 0, 540, 100, 720, 200)))]
    (row,) = predictions(found, _same(NAMES))
    assert row["bbox"] == [540, 100, 100, 100]
    assert _map(*found) == pytest.approx(1)
    # IoU 100 / 180 passes the thresholds 0.5 and 0.55
    assert mean_average_precision(found, _same(NAMES)) == pytest.approx((0.199, 0.995))
