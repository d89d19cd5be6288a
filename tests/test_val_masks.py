"""Mask mAP: labels as Ultralytics draws them, COCO's forms, and both formulas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils.metrics import mask_iou
from val_scenes import assert_curves_are, by_ultralytics

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.rle import boundaries_of, encode
from yolo_max.tasks.segment.segmentation import Segmentation
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.evaluate import Found
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.masks import Masks, RunLengths, coarse_objects
from yolo_max.verify.val.metrics import METRICS

NAMES = {0: "disc", 1: "square"}


def star(x: float, y: float, size: float, points: int = 10) -> list[float]:
    """A polygon around a point, in fractions of the image."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = size * np.where(np.arange(points) % 2, 1, 0.5)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1).ravel().tolist()


def dataset_of(folder: Path, images: dict[str, tuple[tuple[int, int], list[list[float]]]]) -> Path:
    """A folder as Ultralytics reads it, of images with a size and polygons."""
    for name, (size, polygons) in images.items():
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.zeros((*size, 3), np.uint8))
        lines = (f"{i % 2} {' '.join(map(str, polygon))}\n" for i, polygon in enumerate(polygons))
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))
    path = folder / "data.yaml"
    path.write_text(f"path: {folder}\nval: images\ntrain: images\nnames: {json.dumps(NAMES)}\n")
    return path


def of_masks(masks: NDArray[np.bool_]) -> NDArray[np.object_]:
    size = masks.shape[1], masks.shape[2]
    counts = np.empty(len(masks), object)
    counts[:] = [encode(boundaries_of([mask], 0, 0, size), size) for mask in masks]
    return counts


def segmentation_of(
    masks: NDArray[np.bool_], classes: list[int], coarse: NDArray[np.bool_] | None = None
) -> Segmentation:
    count = len(masks)
    size = masks.shape[1], masks.shape[2]
    boxes = np.zeros((count, 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        y, x = np.nonzero(mask)
        box[:] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
    return Segmentation(
        xyxy=boxes,
        confidence=np.linspace(0.9, 0.3, count, dtype=np.float32),
        class_id=np.array(classes, np.int32),
        names=NAMES,
        image_size=size,
        rle=of_masks(masks),
        mask_size=size,
        coarse_rle=np.full(count, "", object) if coarse is None else of_masks(coarse),
        coarse_size=(0, 0) if coarse is None else (coarse.shape[1], coarse.shape[2]),
    )


OVERLAPPING = [star(0.5, 0.5, 0.4), star(0.4, 0.45, 0.15), star(0.6, 0.5, 0.2, 31), star(0.1, 0.9, 0.05)]
MANY_POINTS = [star(0.5, 0.5, 0.45, 1500), star(0.3, 0.3, 0.2)]


@pytest.mark.parametrize("polygons", [OVERLAPPING, MANY_POINTS, [star(0.5, 0.5, 0.4)]])
# Where Ultralytics' validator, which rounds up, resizes as its predictor does.
@pytest.mark.parametrize("size", [(320, 320), (240, 320), (480, 640), (160, 100)])
def test_objects_are_drawn_as_ultralytics_draws_them(
    size: tuple[int, int], polygons: list[list[float]], tmp_path: Path
) -> None:
    path = dataset_of(tmp_path, {"1": (size, polygons)})
    theirs = YOLODataset(
        img_path=str(tmp_path / "images"),
        imgsz=320,
        augment=False,
        hyp=get_cfg(),
        rect=False,
        data={"names": NAMES, "nc": 2, "channels": 3},
        task="segment",
    )[0]
    index = theirs["masks"][0].numpy()
    expected = [(index == i + 1) for i in range(len(polygons))]
    (example,) = load_dataset(path, kind=Masks).examples
    ours = coarse_objects(example, size, (80, 80))
    order = [  # theirs are sorted by area
        int(np.argmax([(mask & each).sum() / (mask | each).sum() for mask in ours])) for each in expected
    ]
    assert sorted(order) == list(range(len(polygons)))
    for i, each in zip(order, expected, strict=True):
        assert (ours[i] != each).sum() <= 2  # a point within float32's rounding of the next pixel


def test_overlap_is_that_of_ultralytics(tmp_path: Path) -> None:
    size = (240, 320)
    path = dataset_of(tmp_path, {"1": (size, OVERLAPPING)})
    (example,) = load_dataset(path, kind=Masks).examples
    objects = coarse_objects(example, size, (80, 80))
    random = np.random.default_rng(0)
    coarse = np.array([np.roll(mask, random.integers(-3, 4, 2), (0, 1)) for mask in objects])
    coarse = np.concatenate([coarse, np.zeros((1, 80, 80), bool)])  # one without a pixel
    found = segmentation_of(np.ones((5, *size), bool), [0, 1, 0, 1, 0], coarse)
    flat = [torch.from_numpy(masks.reshape(len(masks), -1)).float() for masks in (objects, coarse)]
    expected = mask_iou(*flat).T.numpy()
    assert 0.1 < expected.max() < 1
    np.testing.assert_allclose(Masks().overlap(example, found), expected, atol=1e-6)


def test_curves_are_those_of_ultralytics(tmp_path: Path) -> None:
    size, count = (240, 320), 12
    path = dataset_of(tmp_path, {str(i): (size, OVERLAPPING) for i in range(count)})
    examples = load_dataset(path, kind=Masks).examples
    random = np.random.default_rng(0)
    found, overlaps = [], []
    for example in examples:
        objects = coarse_objects(example, size, (80, 80))
        again = random.integers(0, len(objects), 7)
        coarse = np.array([np.roll(objects[i], random.integers(-1, 2, 2), (0, 1)) for i in again])
        classes = np.where(random.random(len(again)) < 0.8, example.class_id[again], 0).tolist()
        prediction = segmentation_of(np.ones((len(again), *size), bool), classes, coarse)
        confidence = np.sort(random.random(len(again)).astype(np.float32))[::-1]
        found.append(Found(example, replace(prediction, confidence=confidence)))
        flat = [torch.from_numpy(masks.reshape(len(masks), -1)).float() for masks in (objects, coarse)]
        overlaps.append(mask_iou(*flat).numpy().astype(np.float64))
    theirs = by_ultralytics(found, overlaps)
    assert 0.1 < theirs[5].mean() < 0.9
    assert_curves_are(Curves.of(NAMES, found, {0: 0, 1: 1}, Masks()), theirs)


def test_measured_by_both_formulas(tmp_path: Path) -> None:
    """Against pycocotools on the same masks, and perfect where every mask is right."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    size = (240, 320)
    path = dataset_of(tmp_path, {"1": (size, OVERLAPPING), "2": (size, [star(0.3, 0.6, 0.25)])})
    metric = METRICS["mask_map"]
    dataset = metric.load(path, "val", None)
    random = np.random.default_rng(1)
    pairs, results = [], []
    truths: list[dict[str, Any]] = []
    for image_id, example in enumerate(dataset.examples, 1):
        drawn = np.array(
            [
                coco.decode(coco.merge(coco.frPyObjects([part.tolist()], *size)))
                for (part,) in [[(shape[0] * example.scale(size)).ravel()] for shape in example.shapes]
            ]
        ).astype(bool)
        moved = np.array([np.roll(mask, random.integers(-6, 7, 2), (0, 1)) for mask in drawn])
        placement = Letterbox.fit(size, (320, 320))
        coarse = np.zeros((len(moved), 80, 80), bool)
        top = placement.pad_top // 4
        coarse[:, top : top + 60] = moved[:, 1::4, 1::4]
        prediction = segmentation_of(moved, example.class_id.tolist(), coarse)
        pairs.append((example, prediction))
        for i, (counts, score) in enumerate(zip(prediction.rle, prediction.confidence, strict=True)):
            rle = {"size": list(size), "counts": counts}
            label = int(example.class_id[i])
            results.append({"image_id": image_id, "category_id": label, "segmentation": rle, "score": score})
            polygon = (example.shapes[i][0] * example.scale(size)).ravel().tolist()
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": image_id,
                    "category_id": label,
                    "segmentation": [polygon],
                    "bbox": coco.toBbox(rle).tolist(),
                    "area": float(coco.area(coco.frPyObjects([polygon], *size)[0])),
                    "iscrowd": 0,
                }
            )
    measured = metric.measure(dataset, pairs, {0: 0, 1: 1}, 300)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i, "height": size[0], "width": size[1]} for i in (1, 2)],
        "annotations": truths,
        "categories": [{"id": i, "name": name} for i, name in NAMES.items()],
        "info": {},
    }
    truth.createIndex()
    evaluator = COCOeval(truth, truth.loadRes(results), "segm")
    evaluator.params.maxDets = [1, 10, 300]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval["precision"][..., 0, -1]
    total = measured.accuracy.total().figures
    assert total["mask mAP50-95"] == pytest.approx(precision.mean(), abs=1e-6)
    assert total["mask mAP50"] == pytest.approx(precision[0].mean(), abs=1e-6)
    assert 0.2 < precision.mean() < 1
    assert 0.1 < measured.ultralytics["mask mAP50-95"] < 1
    assert "masks at the size of the prototypes" in measured.rules  # most of the gap between the two figures
    assert all(row["segmentation"]["size"] == list(size) for row in measured.predictions)


SQUARE = [10, 10, 60, 10, 60, 50, 10, 50]


def coco_of(*segmentations: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "1.png", "height": 80, "width": 100}],
        "categories": [{"id": 7, "name": "disc"}],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": 7,
                "bbox": [10, 10, 50, 40],
                "segmentation": segmentation,
                "iscrowd": crowd,
            }
            for i, segmentation in enumerate(segmentations, 1)
        ],
    }


def loaded(folder: Path, data: dict[str, Any]) -> Any:
    cv2.imwrite(str(folder / "1.png"), np.zeros((80, 100, 3), np.uint8))
    path = folder / "instances.json"
    path.write_text(json.dumps(data))
    return load_dataset(path, kind=Masks)


MASK = np.zeros((80, 100), bool)
MASK[10:50, 10:60] = True
(COMPRESSED,) = of_masks(MASK[None])
COUNTS = [10 * 80 + 10, *[40, 40] * 49, 40, 40 * 80 + 30]


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [SQUARE[:6], SQUARE[4:] + SQUARE[:2]],  # in two parts
        {"size": [80, 100], "counts": COMPRESSED},
        {"size": [80, 100], "counts": COUNTS},
        {"size": [40, 50], "counts": of_masks(MASK[None, ::2, ::2])[0]},  # of another size than the image
    ],
)
def test_every_form_of_a_segmentation(segmentation: Any, tmp_path: Path) -> None:
    dataset = loaded(tmp_path, coco_of(segmentation))
    (example,) = dataset.examples
    small = np.zeros((1, 25, 25), bool)
    small[0, 2 + 3 : 2 + 13, 3:15] = True  # with the letterbox above and below
    objects = coarse_objects(example, (80, 100), (25, 25))
    assert (objects & small).sum() / (objects | small).sum() > 0.85
    measured = METRICS["mask_map"].measure(
        dataset, [(example, segmentation_of(MASK[None], [0], small))], {0: 7}, 300
    )
    assert measured.accuracy.total().figures["mask mAP50-95"] == pytest.approx(1, abs=0.11)
    assert "area" not in Masks().annotation(replace(example, area=np.array([1500.0])), 0, (80, 100))
    entry = Masks().annotation(example, 0, (80, 100))  # whose area is not told
    assert entry["area"] == pytest.approx(2000, rel=0.06)


def test_a_crowd_is_neither_found_nor_a_false_alarm(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, coco_of({"size": [80, 100], "counts": COUNTS}, crowd=1))
    (example,) = dataset.examples
    found = segmentation_of(MASK[None], [0], np.ones((1, 25, 25), bool))
    assert not Found(example, found).objects(Masks()).any()
    assert not coarse_objects(example, (80, 100), (25, 25)).any()
    measured = METRICS["mask_map"].measure(dataset, [(example, found)], {0: 7}, 300)
    assert measured.accuracy.total().objects == 0
    assert measured.ultralytics == {}


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],  # no part
        [[]],
        [[1, 2, 3, 4]],  # a line
        [[1, 2, 3, 4, 5, 6, 7]],
        [SQUARE, 5],
        [["a"] * 6],
        [[float("nan")] * 6],
        [[0, 0, 1e300, 0, 1e300, 1e300]],  # farther than OpenCV's integers reach
        [[-1e8, -1e8, 10, 10, 5, 20]],  # farther than the evaluator has memory for
        [[0, 0, 1e6, 0] * 10],  # a line back and forth, of which it would keep every pixel
        {"size": [80, 100]},
        {"size": [80, 100], "counts": "0"},
        {"size": [80, 100], "counts": None},
        {"size": [80, 100], "counts": [10, 20]},
        {"size": [80, 100], "counts": [-10, 8010]},
        {"size": [80, 100], "counts": []},
        {"size": [0, 100], "counts": [0]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [80], "counts": COUNTS},
    ],
)
def test_an_unusable_segmentation_is_left_out_and_that_is_said(segmentation: Any, tmp_path: Path) -> None:
    dataset = loaded(tmp_path, coco_of([SQUARE], segmentation))
    assert len(dataset.examples[0].class_id) == 1
    (problem,) = dataset.problems
    assert problem.startswith("1 annotation of 1.png that cannot be used (")


def test_labels_of_boxes_are_refused(tmp_path: Path) -> None:
    path = dataset_of(tmp_path, {"1": ((80, 100), [[0.5, 0.5, 0.2, 0.2]])})
    dataset = load_dataset(path, kind=Masks)
    assert not dataset.examples
    assert "has boxes, but masks can only be measured by polygons" in dataset.problems[0]


def test_run_lengths_are_dense_masks() -> None:
    assert np.array_equal(RunLengths(COMPRESSED, (80, 100)).dense(), MASK)


def test_a_polygon_far_outside_is_drawn_as_if_it_were_nearer(tmp_path: Path) -> None:
    """On a canvas larger than its image, where its coordinates leave OpenCV's integers."""
    far = [[-4e5, -10, 4e5, -10, 4e5, 2e5, -4e5, 2e5]]
    (example,) = loaded(tmp_path, coco_of(far)).examples
    assert coarse_objects(example, (1, 1), (2048, 2048)).all()
