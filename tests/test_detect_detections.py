from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_max.support.errors import UsageError
from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.detect.detections import Box, Detections

NAMES = {0: "person", 1: "bicycle", 2: "vélo à 3 roues", 3: "person"}


def some(**changes: Any) -> Detections:
    fields: dict[str, Any] = {
        "xyxy": np.array([[0, 1, 2, 3], [4, 5, 6, 7], [1, 1, 9, 9]], np.float32),
        "confidence": np.array([0.9, 0.9, 0.1], np.float32),
        "class_id": np.array([2, 0, 3], np.int32),
        "names": NAMES,
        "image_size": (480, 640),
    }
    return Detections(**fields | changes)


def test_length_iteration_and_items() -> None:
    detections = some()
    boxes = list(detections)
    assert len(detections) == len(boxes) == 3
    assert boxes[0] == Box((0.0, 1.0, 2.0, 3.0), float(np.float32(0.9)), 2, "vélo à 3 roues")
    assert [detections[i] for i in range(3)] == boxes
    assert detections[-1] == boxes[2]
    with pytest.raises(IndexError):
        detections[3]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([True, False, True]), [0, 2]),  # a mask
        (np.array([False, False, False]), []),  # nothing left
        (np.array([0, 2]), [0, 2]),  # indices
        ([0, 2], [0, 2]),  # a list of them
        ([True, False, True], [0, 2]),
        ([], []),
        ([0, 0], [0, 0]),
        (slice(1), [0]),  # the best
        (slice(0, None, 2), [0, 2]),
        (slice(0, None, -1), [0]),  # one has no order
        (slice(None), [0, 1, 2]),
    ],
)
def test_selection(index: Any, expected: list[int]) -> None:
    detections = some()
    chosen = detections[index]
    assert list(chosen) == [detections[i] for i in expected]
    assert chosen.image_size == detections.image_size
    assert chosen.names == detections.names


@pytest.mark.parametrize("index", [np.array([2, 0]), [1, 0, 1], slice(None, None, -1), slice(2, None, -2)])
def test_a_selection_out_of_order_is_refused(index: Any) -> None:
    with pytest.raises(UsageError, match="the most confident first, so indices must ascend"):
        some()[index]
    assert list(reversed(some())) == list(some())[::-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyxy": np.zeros((3, 4))}, "float32"),  # float64
        ({"xyxy": np.zeros((3, 5), np.float32)}, "xyxy"),  # not four sides
        ({"xyxy": np.zeros((2, 4), np.float32)}, "confidence"),  # lengths differ
        ({"confidence": np.zeros((3, 1), np.float32)}, "confidence"),  # a column
        ({"class_id": np.zeros(3, np.int64)}, "class_id"),  # int64
        ({"class_id": np.array([0, 1, 4], np.int32)}, r"\[4\]"),  # no such class
        ({"confidence": np.array([0.1, 0.2, 0.3], np.float32)}, "descending"),
        ({"confidence": np.array([1.5, 0.2, 0.1], np.float32)}, r"\[0, 1\]"),
        ({"confidence": np.array([0.5, 0.2, -0.1], np.float32)}, r"\[0, 1\]"),
        ({"confidence": np.array([np.nan, 0.2, 0.1], np.float32)}, r"\[0, 1\]"),
        ({"confidence": np.array([0.5, np.nan, 0.1], np.float32)}, "descending"),
        ({"xyxy": np.full((3, 4), np.inf, np.float32)}, "finite"),
    ],
)
def test_what_is_not_detections_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        some(**changes)


def test_the_arrays_cannot_be_changed_from_inside_or_outside() -> None:
    xyxy = np.zeros((3, 4), np.float32)
    detections = some(xyxy=xyxy)
    xyxy[:] = 5
    assert (detections.xyxy == 0).all()
    for array in (detections.xyxy, detections.confidence, detections.class_id):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        detections.image_size = (1, 1)  # type: ignore[misc]


def test_counts_are_by_name_and_by_frequency() -> None:
    detections = some(class_id=np.array([1, 0, 3], np.int32))
    assert list(detections.counts().items()) == [("person", 2), ("bicycle", 1)]
    assert Detections.empty(NAMES, (1, 1)).counts() == {}


def test_empty() -> None:
    empty = Detections.empty(NAMES, (480, 640))
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.xyxy.shape == (0, 4)
    assert Detections.from_dict(json.loads(json.dumps(empty.to_dict())), NAMES) == empty


def test_equality_is_of_values() -> None:
    assert some() == some()
    assert some() != some(image_size=(1, 2))
    assert some() != some(class_id=np.array([2, 0, 0], np.int32))
    assert some() != "detections"


def test_it_pickles() -> None:
    assert pickle.loads(pickle.dumps(some())) == some()


@pytest.mark.parametrize(
    ("detections", "text"),
    [
        (some(), "2 person, 1 vélo à 3 roues (480x640)"),  # height, width; two classes of one name are one
        (some()[:1], "1 vélo à 3 roues (480x640)"),
        (Detections.empty(NAMES, (1, 2)), "nothing (1x2)"),
    ],
)
def test_it_prints_as_a_line(detections: Detections, text: str) -> None:
    assert str(detections) == text
    assert repr(detections) == f"<Detections: {text}>"


def drawn() -> Detections:
    return Detections(
        np.array([[10, 20, 110, 60], [0, 0, 200, 100], [33.25, 7.5, 34.75, 9]], np.float32),
        np.array([0.875, 0.5, 0.1], np.float32),
        np.array([0, 1, 2], np.int32),
        NAMES,
        (100, 200),
    )


@pytest.mark.parametrize("confidence", [False, True])
def test_labels_are_those_that_ultralytics_writes(tmp_path: Path, confidence: bool) -> None:
    import torch
    from ultralytics.engine.results import Results

    found = drawn()
    rows = np.column_stack([found.xyxy, found.confidence, found.class_id]).astype(np.float32)
    results = Results(
        np.zeros((100, 200, 3), np.uint8), path="a.jpg", names=NAMES, boxes=torch.from_numpy(rows)
    )
    results.save_txt(tmp_path / "a.txt", save_conf=confidence)
    assert found.labels(confidence=confidence) == (tmp_path / "a.txt").read_text()


def test_labels_by_hand() -> None:
    assert drawn().labels().splitlines()[:2] == ["0 0.3 0.4 0.5 0.4", "1 0.5 0.5 1 1"]
    assert drawn().labels(confidence=True).splitlines()[0] == "0 0.3 0.4 0.5 0.4 0.875"
    assert Detections.empty(NAMES, (1, 1)).labels() == ""


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(
    rows=st.lists(st.tuples(st.tuples(*[finite] * 4), st.floats(0, 1, width=32), st.integers(0, 3))),
    image_size=st.tuples(st.integers(1, 40_000), st.integers(1, 40_000)),
)
def test_json_gives_every_bit_back(rows: list[Any], image_size: tuple[int, int]) -> None:
    rows.sort(key=lambda row: -row[1])
    detections = Detections(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
        NAMES,
        image_size,
    )
    text = json.dumps(detections.to_dict(), allow_nan=False)
    assert Detections.from_dict(json.loads(text), NAMES) == detections


def test_json_is_short() -> None:
    record = some(confidence=np.array([0.9, 0.5, 0.1], np.float32)).to_dict()
    assert json.dumps(record["boxes"][0]) == (
        '{"class_id": 2, "class_name": "v\\u00e9lo \\u00e0 3 roues", "confidence": 0.9, '
        '"xyxy": [0.0, 1.0, 2.0, 3.0]}'
    )


def test_names_come_from_the_boxes_when_not_given() -> None:
    assert Detections.from_dict(some().to_dict()).names == {0: "person", 2: "vélo à 3 roues", 3: "person"}


BOX = {"class_id": 0, "class_name": "person", "confidence": 0.5, "xyxy": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    "record",
    [
        {},  # nothing
        {"boxes": []},  # no size
        {"image_size": [1, 1], "boxes": [{"class_id": 0}]},  # half a box
        {"image_size": [1, 1], "boxes": None},
        {"image_size": 3, "boxes": []},
        {"image_size": [0, 1], "boxes": []},
        {"image_size": [1, -1], "boxes": []},
        {"image_size": ["1", "1"], "boxes": []},
        {"image_size": [1.0, 1], "boxes": []},
        {"image_size": [True, 1], "boxes": []},
        {"image_size": [10**9, 10**9], "boxes": []},  # for which no memory suffices
        {"image_size": [1, 1], "boxes": [{**BOX, "class_id": 2**40}]},
        {"image_size": [1, 1], "boxes": [{**BOX, "class_id": 0.5}]},
    ],
)
def test_a_record_of_something_else_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^The record (does not describe Detections|has a size of)"):
        Detections.from_dict(record)


@given(finite)
def test_shortest_float_is_exact(value: float) -> None:
    assert np.float32(shortest_float(np.float32(value))) == np.float32(value)
