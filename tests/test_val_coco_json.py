"""COCO's annotations in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_image

from yolo_max.support.errors import SourceError
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.load import load_dataset

COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}],
    "categories": [{"id": 1, "name": "disc"}, {"id": 90, "name": "square"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "area": 600.5, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ],
}


def _coco(root: Path, folder: str = "images", **changes: Any) -> BoxDataset:
    for name in ("a.png", "b.png"):
        write_image(root / folder / name, seed=0)
    path = root / "annotations" / "instances_val.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**COCO, **changes}))
    return load_dataset(path)


@pytest.mark.parametrize("folder", ["images", "val", "images/val", "annotations", "annotations/images"])
def test_coco_json(tmp_path: Path, folder: str) -> None:
    dataset = _coco(tmp_path, folder)
    assert dataset.names == {1: "disc", 90: "square"}
    assert [(each.image_id, each.path.name) for each in dataset.examples] == [(3, "b.png"), (7, "a.png")]
    background, full = dataset.examples
    assert len(background.class_id) == 0
    assert full.class_id.tolist() == [90, 1]
    assert full.pixels((40, 60)).tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    np.testing.assert_equal(full.area, [600.5, np.nan])  # the second is that of its box
    assert full.crowd.tolist() == [False, True]


def test_coco_json_with_its_images_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="say where with --images"):
        _coco(tmp_path, "pictures")
    path = tmp_path / "annotations" / "instances_val.json"
    assert len(load_dataset(path, images=tmp_path / "pictures").examples) == 2
    with pytest.raises(SourceError, match="which is not in"):
        load_dataset(path, images=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [], "annotations": []}, "lists no image"),
        ({"categories": []}, "categories that it does not list"),
        ({"categories": [{"id": 2**70, "name": "a"}]}, "lists a category whose id has more than 64 bits"),
        ({"images": [{"id": float("inf"), "file_name": "a"}]}, "is not COCO's json of boxes: OverflowError"),
        ({"annotations": [{"image_id": 7}]}, "is not COCO's json of boxes: KeyError: 'bbox'"),
        (
            {"annotations": [{"image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]}]},
            "images that it does not list: \\[8\\]",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]},
            "is not COCO's json of boxes: ValueError",
        ),
    ],
)
def test_coco_json_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        _coco(tmp_path, **changes)


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": []},
        {"bbox": [1, 2, 3]},
        {"bbox": None},
        {"bbox": [1, 2, -3, 4]},
        {"bbox": [1, 2, float("inf"), 4]},
        {"bbox": [1, 2, 1e300, 4]},  # whose area is infinite
        {"bbox": ["a", 2, 3, 4]},
        {"bbox": [1, 2, 3, 4], "area": "large"},
        {},  # a mask without a box
    ],
)
def test_an_annotation_without_a_box_costs_itself(tmp_path: Path, annotation: dict[str, Any]) -> None:
    broken = {"id": 3, "image_id": 7, "category_id": 1, **annotation}
    dataset = _coco(tmp_path, annotations=[*COCO["annotations"], broken, broken])
    assert dataset.examples[1].class_id.tolist() == [90, 1]
    (problem,) = dataset.problems
    assert problem.startswith("2 annotations of a.png that cannot be used (")


def test_deep_json(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("[" * 100_000)
    with pytest.raises(SourceError, match="is not COCO's json of boxes: RecursionError"):
        load_dataset(path)
