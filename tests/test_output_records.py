"""Records and CSV hold a prediction, and give it back."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_max.output.records import record
from yolo_max.output.tables import csv_table
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.task import DETECT

NAMES = {0: "person", 1: 'a "quoted", name', 2: "two\nlines"}


def detections() -> Detections:
    return Detections(
        np.array([[10, 20, 110, 60], [0, 0, 200, 100], [33.25, 7.5, 34.75, 9]], np.float32),
        np.array([0.875, 0.5, 0.1], np.float32),
        np.array([0, 1, 2], np.int32),
        NAMES,
        (100, 200),
    )


def test_a_record_of_detections() -> None:
    result = record("in/a.jpg", prediction=detections(), times_ms={"decode": 1.23456, "infer": 20})
    assert list(result) == ["path", "image_size", "boxes", "times_ms"]
    assert result["times_ms"] == {"decode": 1.235, "infer": 20}
    assert Detections.from_dict(json.loads(json.dumps(result)), NAMES) == detections()


def test_a_record_of_a_failure() -> None:
    assert record("a.jpg", error="it is truncated") == {
        "path": "a.jpg",
        "error": "it is truncated",
        "times_ms": {},
    }


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({"prediction": detections(), "frames": 3}, {"frames": 3}),
        ({"prediction": detections(), "frames": 1}, {}),
        ({"prediction": detections(), "max_det_reached": True}, {"max_det_reached": True}),
        ({"error": "the disk refused it", "unsaved": True}, {"unsaved": True}),
    ],
)
def test_what_is_unusual_is_noted(options: dict[str, Any], noted: dict[str, Any]) -> None:
    usual = {"path", "times_ms"} | ({"error"} if "error" in options else {"image_size", "boxes"})
    result = record("a.gif", **options)
    assert {key: value for key, value in result.items() if key not in usual} == noted
    if "prediction" in options:
        assert Detections.from_dict(json.loads(json.dumps(result)), NAMES) == detections()


@pytest.mark.parametrize("options", [{}, {"prediction": detections(), "error": "both"}])
def test_a_record_says_one_thing(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either"):
        record("a.jpg", **options)


@given(st.text(st.characters(blacklist_characters="\0"), min_size=1))
def test_csv_gives_every_path_and_name_back(path: str) -> None:
    text = csv_table(DETECT, lambda: [record(path, prediction=detections())])
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert tuple(header) == ("path", "class_id", "class_name", "confidence", "x1", "y1", "x2", "y2")
    assert {row[0][:1] for row in rows}.isdisjoint("=+-@\t\r\n")
    assert [[row[0].removeprefix("'"), *row[1:4]] for row in rows] == [
        [path, "0", "person", "0.875"],
        [path, "1", 'a "quoted", name', "0.5"],
        [path, "2", "two\nlines", "0.1"],
    ]
    assert [[float(side) for side in row[4:]] for row in rows] == detections().xyxy.tolist()
    assert text.endswith("\r\n")  # RFC 4180


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),  # skipped by spreadsheets, like the next two
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),  # full width
        ("'=1", "''=1"),  # or it would come back as =1
        ("a=1", "a=1"),  # no formula
        ("", ""),
    ],
)
def test_a_spreadsheet_runs_no_cell(text: str, cell: str) -> None:
    found = Detections(
        np.array([[-1, 2, 3, 4]], np.float32),
        np.array([0.5], np.float32),
        np.array([0], np.int32),
        {0: text},
        (9, 9),
    )
    table = csv_table(DETECT, lambda: [record(text, prediction=found)])
    _, row = csv.reader(io.StringIO(table, newline=""))
    assert row == [cell, "0", cell, "0.5", "-1.0", "2.0", "3.0", "4.0"]  # numbers stay numbers


def test_csv_of_nothing_and_of_a_failure() -> None:
    nothing = record("a.jpg", prediction=Detections.empty(NAMES, (1, 1)))
    failed = record("a.jpg", error="it is empty")
    assert csv_table(DETECT, lambda: [nothing, failed]) == csv_table(DETECT, list) != ""
