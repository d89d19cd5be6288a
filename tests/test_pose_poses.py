"""The result of a pose model."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ultralytics.engine.results import Keypoints, Results

from yolo_max.output.records import record
from yolo_max.output.tables import csv_table
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.pose.task import POSE

NAMES = {0: "person", 1: "tiger"}
SIZE = (100, 200)


def some(shape: tuple[int, int] = (17, 3), count: int = 2, **changes: Any) -> Poses:
    rng = np.random.default_rng(shape[0])
    keypoints = rng.uniform(0, 1, (count, *shape)).astype(np.float32)
    keypoints[..., :2] *= np.array([200, 100], np.float32)
    fields: dict[str, Any] = {
        "xyxy": np.array([[10, 20, 110, 60], [0, 0, 200, 100]], np.float32)[:count],
        "confidence": np.array([0.875, 0.5], np.float32)[:count],
        "class_id": np.array([0, 1], np.int32)[:count],
        "names": NAMES,
        "image_size": SIZE,
        "keypoints": keypoints,
    }
    return Poses(**fields | changes)


@pytest.mark.parametrize("shape", [(17, 3), (12, 2)])
def test_keypoints_are_those_of_ultralytics_results(shape: tuple[int, int]) -> None:
    poses = some(shape)
    theirs = Keypoints(torch.from_numpy(poses.keypoints.copy()), SIZE)
    np.testing.assert_array_equal(poses.xy, theirs.xy)
    np.testing.assert_array_equal(poses.xyn, theirs.xyn)
    assert poses.has_visible == theirs.has_visible
    if poses.visibility is None:
        assert theirs.conf is None
    else:
        np.testing.assert_array_equal(poses.visibility, theirs.conf)


def test_which_are_visible() -> None:
    told = np.array([[[5, 5, 0.5], [5, 5, 0.499], [0, 0, 1]]], np.float32)
    assert some((3, 3), 1, keypoints=told).visible.tolist() == [[True, False, True]]
    untold = np.array([[[5, 5], [0, 0], [0, 5]]], np.float32)  # (0, 0) is where models put what is hidden
    assert some((3, 2), 1, keypoints=untold).visible.tolist() == [[True, False, True]]


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("shape", [(17, 3), (12, 2)])
def test_labels_are_those_that_ultralytics_writes(
    tmp_path: Path, shape: tuple[int, int], confidence: bool
) -> None:
    poses = some(shape)
    rows = np.column_stack([poses.xyxy, poses.confidence, poses.class_id]).astype(np.float32)
    results = Results(
        np.zeros((*SIZE, 3), np.uint8),
        path="a.jpg",
        names=NAMES,
        boxes=torch.from_numpy(rows),
        keypoints=torch.from_numpy(poses.keypoints.copy()),
    )
    results.save_txt(tmp_path / "a.txt", save_conf=confidence)
    assert poses.labels(confidence=confidence) == (tmp_path / "a.txt").read_text()


def test_no_labels_for_nothing() -> None:
    assert Poses.empty(NAMES, SIZE, (5, 2)).labels(confidence=True) == ""


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(
    rows=st.lists(st.tuples(st.floats(0, 1, width=32), st.lists(finite, min_size=4, max_size=4)), max_size=3),
    visibility=st.floats(0, 1, width=32),
    dimensions=st.integers(2, 3),
)
def test_json_gives_every_bit_back(rows: list[Any], visibility: float, dimensions: int) -> None:
    rows.sort(key=lambda row: -row[0])
    count = len(rows)
    keypoints = np.full((count, 2, dimensions), visibility, np.float32)
    keypoints[..., :2] = np.array([row[1] for row in rows], np.float32).reshape(count, 2, 2)
    poses = Poses(
        np.zeros((count, 4), np.float32),
        np.array([row[0] for row in rows], np.float32),
        np.zeros(count, np.int32),
        NAMES,
        SIZE,
        keypoints,
    )
    text = json.dumps(poses.to_dict(), allow_nan=False)
    assert Poses.from_dict(json.loads(text), NAMES) == poses


def test_a_record() -> None:
    poses = some((2, 3), 1, keypoints=np.array([[[1, 2, 0.5], [3.25, 4, 1]]], np.float32))
    assert poses.to_dict() == {
        "image_size": [100, 200],
        "kpt_shape": [2, 3],
        "boxes": [
            {
                "class_id": 0,
                "class_name": "person",
                "confidence": 0.875,
                "xyxy": [10, 20, 110, 60],
                "keypoints": [[1, 2, 0.5], [3.25, 4, 1]],
            }
        ],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"kpt_shape": [3, 3]},  # more keypoints than there are
        {"kpt_shape": [0, 3]},
        {"kpt_shape": [3, 2]},  # the numbers would fit
        {"kpt_shape": 2},
        {"kpt_shape": None},
        {"boxes": [{"class_id": 0, "class_name": "person", "confidence": 0.5, "xyxy": [0, 0, 1, 1]}]},
    ],
)
def test_a_record_of_something_else_is_refused(changes: dict[str, Any]) -> None:
    record = some((2, 3), 1).to_dict() | changes
    with pytest.raises(ValueError):  # noqa: PT011  (NumPy's own, of arrays that do not fit)
        Poses.from_dict(record)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        (np.zeros((2, 17, 3)), "keypoints as float32"),  # float64
        (np.zeros((1, 17, 3), np.float32), r"\(2, 17, 3\)"),  # one too few
        (np.zeros((2, 34), np.float32), "keypoints as float32"),
        (np.zeros((2, 17, 4), np.float32), "2 or 3 numbers"),
        (np.zeros((2, 0, 3), np.float32), "2 or 3 numbers"),
        (np.full((2, 17, 3), np.nan, np.float32), "finite"),
        (np.full((2, 17, 3), 2, np.float32), "visibilities"),
    ],
)
def test_what_is_not_poses_is_refused(keypoints: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        some(keypoints=keypoints)


def test_selection_pickling_and_equality() -> None:
    poses = some()
    assert poses[1:].keypoints.tolist() == poses.keypoints[1:].tolist()
    assert pickle.loads(pickle.dumps(poses)) == poses
    moved = poses.keypoints.copy()
    moved[0, 0, 0] += 1
    assert some(keypoints=moved) != poses
    assert str(poses) == "1 person, 1 tiger (100x200)"
    with pytest.raises(ValueError, match="read-only"):
        poses.keypoints[0] = 0


@pytest.mark.parametrize(
    ("shape", "further"),
    [
        ((2, 3), ["keypoint0_x", "keypoint0_y", "keypoint0_visibility", "keypoint1_x", "keypoint1_y"]),
        ((3, 2), ["keypoint0_x", "keypoint0_y", "keypoint1_x", "keypoint1_y", "keypoint2_x"]),
    ],
)
def test_a_table_has_columns_for_the_keypoints(shape: tuple[int, int], further: list[str]) -> None:
    poses = some(shape)
    records = [record("a.jpg", error="it is empty"), record("b.jpg", prediction=poses)]
    text = csv_table(POSE, lambda: records)
    header, *rows = csv.reader(text.splitlines())
    assert header[:8] == ["path", "class_id", "class_name", "confidence", "x1", "y1", "x2", "y2"]
    assert header[8:13] == further
    values = np.array([row[4:] for row in rows], np.float32)
    np.testing.assert_array_equal(values[:, :4], poses.xyxy)
    np.testing.assert_array_equal(values[:, 4:], poses.keypoints.reshape(2, -1))


def test_a_table_of_nothing_has_the_columns_of_boxes() -> None:
    assert csv_table(POSE, lambda: [record("a.jpg", error="it is empty")]).strip().endswith("x1,y1,x2,y2")
