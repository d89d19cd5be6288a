"""Keypoints of labels, and their similarity: against Ultralytics' loader and formula, and pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fakes import write_image
from numpy.typing import NDArray
from ultralytics.data.utils import verify_image_label
from ultralytics.utils.metrics import OKS_SIGMA, kpt_iou
from val_datasets import write_dataset
from val_scenes import assert_curves_are, by_ultralytics

from yolo_max.model.specs.per_box import MAX_KEYPOINTS
from yolo_max.support.errors import SourceError, UsageError
from yolo_max.tasks.pose.poses import Poses
from yolo_max.verify.val.classes import class_map
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.evaluate import Found, evaluate, ground_truth, predictions
from yolo_max.verify.val.keypoints import PERSON, Keypoints
from yolo_max.verify.val.labels import keypoint_shape, read_keypoints
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.metrics import METRICS
from yolo_max.verify.val.objects import Example
from yolo_max.verify.val.ultralytics_map import mean_average_precision

NAMES = {0: "disc", 1: "square"}
SIZE = (480, 640)
FIVE = Keypoints((5, 3), (0.2,) * 5)
PEOPLE = Keypoints((17, 3), PERSON)

BOX = "0 0.5 0.5 0.2 0.4"


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", (2, 3)),
        (f"{BOX} 0.4 0.4 2 0.6 0.6 1", (2, 3)),
        (f"{BOX} 0.4 0.4 0 0 0 0", (2, 3)),  # labelled is neither
        (f"{BOX} 0.4 0.4 0.6 0.6", (2, 2)),  # all are
        (f"{BOX} 0.4 0.4 0 0", (2, 2)),  # even at (0, 0)
        (f"{BOX} 0.4 0.4 -0.005 0.5", (2, 2)),  # negative: not labelled
        (f"{BOX} 0.4 0.4 -0.005 0.5 2 1", (2, 3)),  # a hair outside is let pass
        (f"{BOX} 1.009 0.4 2 0.5 0.5 2", (2, 3)),
        (f"{BOX} 1.02 0.4 2 0.5 0.5 2", (2, 3)),  # more is not
        (f"{BOX} -0.02 0.4 2 0.5 0.5 2", (2, 3)),
        (f"{BOX} 0.4 0.4 -1 0.5 0.5 2", (2, 3)),
        (f"{BOX} 320 240 2 0 0 0", (2, 3)),  # pixels
        (f"{BOX} nan 0.4 2 0.5 0.5 2", (2, 3)),
        (BOX, (2, 3)),  # no keypoints
        (f"{BOX} 0.4 0.4 2", (2, 3)),  # too few
        (f"{BOX} 0.4 0.4 2 0.6 0.6 1 0.5", (2, 3)),  # too many
        (f"{BOX} 0.4 0.4 2 0.6 0.6 1\n{BOX} 0.4 0.4 2 0.6 0.6 1", (2, 3)),  # the same object counts once
        (f"{BOX} 0.4 0.4 2 0.6 0.6 1\n{BOX} 0.4 0.4 2 0.6 0.5 1", (2, 3)),  # another one in the same box
        (f"7 {BOX[2:]} 0.4 0.4 2 0.6 0.6 1", (2, 3)),  # an unknown class
    ],
)
def test_labels_mean_what_they_mean_to_ultralytics(tmp_path: Path, text: str, shape: tuple[int, int]) -> None:
    image, labels = write_image(tmp_path / "a.png", seed=0), tmp_path / "a.txt"
    labels.write_text(text)
    _, boxes, _, _, points, *_ = verify_image_label(
        (str(image), str(labels), "", True, len(NAMES), *shape, False)
    )
    try:
        ours = read_keypoints(labels, NAMES, shape)
    except ValueError:
        assert boxes is None or "nan" in text  # which passes all their checks
        return
    assert [len(ours.class_id), len(ours.shapes)] == [len(boxes)] * 2
    expected = sorted(zip(boxes.tolist(), points.tolist(), strict=True))
    np.testing.assert_allclose(ours.xyxy, np.tile([0.4, 0.3, 0.6, 0.7], (len(boxes), 1)), atol=1e-6)
    np.testing.assert_array_equal(ours.class_id, boxes[:, 0])
    found = sorted(each.tolist() for each in ours.shapes)
    np.testing.assert_allclose(found, [keypoints for _, keypoints in expected], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOX, "has 5 numbers in line 1, where a box and 2 keypoints have 11"),
        (f"\n{BOX} 320 240 2 0 0 0", "has a keypoint outside 0 to 1 in line 2"),
        (f"7 {BOX[2:]} 0.4 0.4 2 0.6 0.6 1", "has class 7 in line 1"),
    ],
)
def test_junk_in_labels(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_keypoints(tmp_path / "a.txt", NAMES, (2, 3))


@pytest.mark.parametrize(
    ("description", "shape"),
    [
        ({"kpt_shape": [17, 3]}, PEOPLE),
        # as in Ultralytics, COCO's sigmas are for this shape only
        ({"kpt_shape": [17, 2]}, Keypoints((17, 2), (1 / 17,) * 17)),
        ({"kpt_shape": [5, 3], "flip_idx": [0, 2, 1, 4, 3]}, FIVE),
        ({"kpt_shape": [2, 3], "kpt_oks_sigmas": [0.1, 1]}, Keypoints((2, 3), (0.1, 1))),
    ],
)
def test_a_yaml(tmp_path: Path, description: dict[str, Any], shape: Keypoints) -> None:
    numbers = " 0.5" * (shape.shape[0] * shape.shape[1])
    data = write_dataset(tmp_path, {"a": BOX + numbers, "b": BOX, "c": ""}, **description)
    dataset = load_dataset(data, kind=Keypoints)
    assert dataset.shape == shape
    (problem,) = dataset.problems
    assert "b.txt has 5 numbers in line 1" in problem
    a, c = dataset.examples
    assert [len(each.shapes) for each in (a, c)] == [1, 0]
    assert a.shapes[0].shape == (shape.shape[0], 3)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "has no kpt_shape"),
        ({"kpt_shape": [0, 3]}, "kpt_shape that is not"),
        ({"kpt_shape": [5, 4]}, "kpt_shape that is not"),
        ({"kpt_shape": [10**9, 3]}, "kpt_shape that is not"),  # would fill the memory
        ({"kpt_shape": [2, 3], "kpt_oks_sigmas": [0.1]}, "kpt_oks_sigmas that are not 2 positive numbers"),
        ({"kpt_shape": [2, 3], "kpt_oks_sigmas": [0.1, 0]}, "kpt_oks_sigmas"),
        ({"kpt_shape": [2, 3], "kpt_oks_sigmas": [0.1, float("nan")]}, "kpt_oks_sigmas"),
        ({"kpt_shape": [2, 3], "kpt_oks_sigmas": "12"}, "kpt_oks_sigmas"),
    ],
)
def test_a_yaml_without_sense(tmp_path: Path, description: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load_dataset(write_dataset(tmp_path, {"a": BOX}, **description), kind=Keypoints)


def test_a_dataset_may_have_as_many_keypoints_as_a_model() -> None:
    assert keypoint_shape(Path("data.yaml"), {"kpt_shape": [MAX_KEYPOINTS, 3]}) == (MAX_KEYPOINTS, 3)


def coco_json(tmp_path: Path, *keypoints: Any) -> Path:
    write_image(tmp_path / "a.png", seed=0)
    annotations = [
        {"id": i, "image_id": 7, "category_id": 1, "bbox": [10 * i, 5, 20, 30], "keypoints": each}
        for i, each in enumerate(keypoints)
    ]
    path = tmp_path / "person_keypoints_val.json"
    images = [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}]
    categories = [{"id": 1, "name": "person"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_coco_json(tmp_path: Path) -> None:
    path = coco_json(tmp_path, [1, 2, 2, 3, 4, 0], [0] * 6, None, [1, 2, 3], [1, 2, 3, 4, 5, float("inf")])
    dataset = load_dataset(path, kind=Keypoints)
    assert dataset.shape == Keypoints((2, 3), (0.5, 0.5))
    (example,) = dataset.examples
    assert [each is not None for each in example.shapes] == [True, False, False]  # a box all the same
    assert example.shapes[0].tolist() == [[1, 2, 2], [3, 4, 0]]
    (problem,) = dataset.problems
    assert problem.startswith("2 annotations of a.png that cannot be used (")


def test_coco_json_of_boxes_has_no_keypoints(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no keypoints"):
        load_dataset(coco_json(tmp_path, None, []), kind=Keypoints)


def example(
    image_id: int, boxes: NDArray[np.float64], points: NDArray[np.float64], class_id: NDArray[np.int64]
) -> Example:
    count = len(boxes)
    return Example(
        Path(f"{image_id}.jpg"),
        image_id,
        class_id,
        boxes,
        False,
        np.full(count, np.nan),
        np.zeros(count, bool),
        shapes=tuple(points),
    )


def random_found(seed: int, shape: Keypoints, images: int = 40) -> list[Found]:
    """People, some of their keypoints not labelled, and poses that are moved, missing, doubled or made up."""
    rng = np.random.default_rng(seed)
    count = shape.shape[0]
    found = []
    for image_id in range(1, images + 1):
        objects = int(rng.integers(0, 6))
        corner, size = rng.uniform(0, 300, (objects, 2)), rng.choice([15, 60, 150], (objects, 1))
        boxes = np.concatenate([corner, corner + size * rng.uniform(0.5, 1.5, (objects, 2))], axis=1)
        points = rng.uniform(0, 1, (objects, count, 3))
        points[..., :2] = boxes[:, None, :2] + points[..., :2] * (boxes[:, 2:] - boxes[:, :2])[:, None]
        points[..., 2] = rng.integers(0, 3, (objects, count))
        class_id = rng.integers(0, 2, objects)
        which = np.repeat(np.arange(objects), rng.integers(0, 3, objects))
        spread = rng.choice([0.01, 0.05, 0.2], (len(which), 1, 1))
        moved = points[which].copy()
        moved[..., :2] += rng.normal(0, 1, (len(which), count, 2)) * size[which][:, None] * spread
        moved[..., 2] = rng.uniform(0, 1, moved.shape[:2])
        found_boxes = boxes[which] + rng.normal(0, 1, (len(which), 4)) * size[which] / 10
        predicted = np.where(rng.random(len(which)) < 0.9, class_id[which], 0)
        made_up = rng.uniform(0, 300, (2, count, 3))
        made_up[..., 2] = 0.5
        confidence = rng.uniform(0.01, 1, len(which) + 2)
        order = np.argsort(-confidence)
        poses = Poses(
            np.concatenate([found_boxes, [[0, 0, 300, 300]] * 2])[order].astype(np.float32),
            confidence[order].astype(np.float32),
            np.concatenate([predicted, [0, 1]])[order].astype(np.int32),
            NAMES,
            SIZE,
            np.concatenate([moved, made_up])[order].astype(np.float32),
        )
        found.append(Found(example(image_id, boxes, points, class_id), poses))
    return found


def same() -> dict[int, int]:
    return class_map(NAMES, NAMES)


@pytest.mark.parametrize("shape", [PEOPLE, FIVE])
def test_similarity_is_that_of_ultralytics(shape: Keypoints) -> None:
    compared = 0
    for each in random_found(0, shape):
        boxes = torch.tensor(each.example.xyxy)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1) * 0.53
        truth = torch.tensor(np.array(each.example.shapes).reshape(-1, *shape.shape))
        sigma = OKS_SIGMA if shape is PEOPLE else np.ones(5) / 5
        assert isinstance(each.detections, Poses)
        theirs = kpt_iou(truth, torch.tensor(each.detections.keypoints.astype(np.float64)), area, sigma)
        np.testing.assert_allclose(shape.overlap(each.example, each.detections).T, theirs, atol=1e-6)
        compared += theirs.numel()
    assert compared > 200


@pytest.mark.parametrize("shape", [PEOPLE, FIVE])
@pytest.mark.parametrize("seed", range(2))
def test_mean_precision_agrees_with_ultralytics_own_sum(shape: Keypoints, seed: int) -> None:
    found = random_found(seed, shape)
    theirs = by_ultralytics(found, [shape.overlap(each.example, each.detections).T for each in found])
    average = theirs[5]
    got = mean_average_precision(found, same(), shape)
    assert got == pytest.approx((average.mean(), average[:, 0].mean()), abs=1e-9)
    assert 0.05 < average.mean() < 0.9
    assert_curves_are(Curves.of(NAMES, found, same(), shape), theirs)


@pytest.mark.parametrize("shape", [PEOPLE, FIVE])
def test_mean_precision_agrees_with_pycocotools(shape: Keypoints) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found = random_found(3, shape)
    dataset = BoxDataset(Path("data.yaml"), NAMES, tuple(each.example for each in found), shape=shape)
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = copy.deepcopy(ground_truth(dataset, found, shape))
        truth.createIndex()
        results = truth.loadRes(copy.deepcopy(predictions(found, same())))
        evaluator = COCOeval(truth, results, "keypoints")
        evaluator.params.maxDets = [300]
        evaluator.params.kpt_oks_sigmas = np.array(shape.sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
    curves = np.where(evaluator.eval["precision"] < 0, np.nan, evaluator.eval["precision"])[..., -1]
    everything = curves[:, :, :, 0]
    figures = [everything, everything[0], everything[5], curves[:, :, :, 1], curves[:, :, :, 2]]
    theirs = [float(np.nanmean(each)) for each in figures]
    mean = evaluate(dataset, found, same(), 300, shape).mean
    assert [mean.map50_95, mean.map50, mean.map75, mean.medium, mean.large] == pytest.approx(theirs, abs=1e-9)
    assert mean.small is not None  # which COCO leaves out


def one(points: Any, found: Any, *, labelled: Any = 2) -> tuple[Found, Keypoints]:
    """One object of 100 x 100 pixels with two keypoints, and one pose in the same box."""
    box = np.array([[100.0, 100, 200, 200]])
    truth = np.column_stack([np.array(points, np.float64), np.broadcast_to(labelled, 2)])[None]
    pose = Poses(
        box.astype(np.float32),
        np.array([0.9], np.float32),
        np.array([0], np.int32),
        NAMES,
        SIZE,
        np.array([found], np.float32),
    )
    return Found(example(1, box, truth, np.array([0])), pose), Keypoints((2, 3), (0.1, 0.1))


def test_similarity_by_hand() -> None:
    # exactly there
    found, shape = one([(110, 110), (190, 190)], [(110, 110), (190, 190)])
    assert shape.overlap(found.example, found.detections) == pytest.approx(1)
    # one is off by the width of its Gaussian, 2 * 0.1 * sqrt(0.53 * 100 * 100) = 14.56 pixels
    found, shape = one([(110, 110), (190, 190)], [(110 + 14.56, 110), (190, 190)])
    assert shape.overlap(found.example, found.detections) == pytest.approx((np.exp(-0.5) + 1) / 2, abs=1e-4)
    # which is no matter if it is not labelled
    found, shape = one([(110, 110), (190, 190)], [(300, 110), (190, 190)], labelled=[0, 1])
    assert shape.overlap(found.example, found.detections) == pytest.approx(1)
    # nothing is labelled: it cannot be found
    found, shape = one([(110, 110), (190, 190)], [(110, 110), (190, 190)], labelled=0)
    assert shape.overlap(found.example, found.detections) == 0


def test_all_figures_of_a_metric() -> None:
    found, shape = one([(110, 110), (190, 190)], [(140, 110, 0.5), (190, 190, 0.25)])
    dataset = BoxDataset(Path("data.yaml"), NAMES, (found.example,), shape=shape)
    measured = METRICS["keypoint_map"].measure(dataset, [(found.example, found.detections)], same(), 300)
    total = measured.accuracy.total().figures
    assert list(total)[:4] == ["keypoint mAP50-95", "keypoint mAP50", "box mAP50-95", "box mAP50"]
    assert measured.accuracy.compared == tuple(total)[:4]
    assert measured.accuracy.judged == ("keypoint mAP50-95", "box mAP50-95")
    assert total["box mAP50-95"] == pytest.approx(1)
    # similarity (exp(-900 / 424) + 1) / 2 = 0.56 passes the thresholds 0.5 and 0.55
    assert total["keypoint mAP50-95"] == pytest.approx(0.2)
    assert measured.ultralytics["keypoint mAP50-95"] == pytest.approx(0.199, abs=1e-3)
    assert measured.ultralytics["box mAP50"] == pytest.approx(0.995)
    assert [row.name for row in measured.accuracy.rows()] == ["disc"]
    (row,) = measured.predictions
    assert row["keypoints"] == [140, 110, 0.5, 190, 190, 0.25]
    assert measured.accuracy.to_dict()["keypoint"]["objects"] == 1


def test_objects_without_keypoints_in_coco_json_are_not_looked_for() -> None:
    found, shape = one([(110, 110), (190, 190)], [(110, 110), (190, 190)])
    other = Example(**{**vars(found.example), "shapes": (None,), "xyxy": found.example.xyxy + 150})
    second = Found(other, Poses.empty(NAMES, SIZE, (2, 3)))
    both = [found, second]
    dataset = BoxDataset(Path("data.json"), NAMES, tuple(each.example for each in both), shape=shape)
    assert evaluate(dataset, both, same(), 300, shape).mean.map50_95 == pytest.approx(1)
    assert mean_average_precision(both, same(), shape) == pytest.approx((0.995, 0.995))
    assert evaluate(dataset, both, same(), 300).mean.map50_95 == pytest.approx(51 / 101)


def test_a_model_with_other_keypoints_is_refused() -> None:
    meta: Any = SimpleNamespace(network=SimpleNamespace(head=SimpleNamespace(args={"keypoints": 4})))
    with pytest.raises(UsageError, match="the model finds 4 keypoints, but the dataset's objects have 5"):
        FIVE.require(meta)
    Keypoints((4, 2), (0.25,) * 4).require(meta)


def test_keypoints_beyond_the_border_are_clipped_for_coco_and_not_for_ultralytics() -> None:
    found, shape = one([(110, 110), (640, 190)], [(110, 110), (700, 190)])
    assert found.detections.to_coco()[0]["keypoints"] == [110, 110, 1, 640, 190, 1]
    assert shape.overlap(found.example, found.detections) == pytest.approx(0.5, abs=1e-3)
    dataset = BoxDataset(Path("data.yaml"), NAMES, (found.example,), shape=shape)
    assert evaluate(dataset, [found], same(), 300, shape).mean.map50_95 == pytest.approx(1)
