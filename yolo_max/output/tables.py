"""What is made of the records of a whole run: CSV, COCO's json, Parquet, a gallery."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from yolo_max.output.gallery import gallery
from yolo_max.output.records import csv_line, image_id_of
from yolo_max.support.errors import UsageError
from yolo_max.support.extras import require
from yolo_max.support.result_names import COCO_FILE, CSV_FILE, GALLERY_FILE, PARQUET_FILE
from yolo_max.tasks.task import Task

TABLES = (CSV_FILE, COCO_FILE, PARQUET_FILE, GALLERY_FILE)
FRAME_COLUMNS = ("frame", "time")
"""The columns of a frame, behind the path, where a run has any."""
Records = Callable[[], Iterable[Mapping[str, Any]]]
"""Reads the records from the first on."""


def table(name: str, task: Task, names: Mapping[int, str], records: Records, *, tracked: bool) -> bytes:
    """The content of one of the tables of a run.

    Args:
        name: The table's file: one of `TABLES`.
        task: The task.
        names: The model's class names by id.
        records: Those of the run.
        tracked: Whether there are numbers of objects.

    Raises:
        EngineError: A package that it needs is not installed.
        UsageError: The task has no such form.
    """
    if name == CSV_FILE:
        return csv_table(task, records, tracked=tracked).encode("utf-8", "backslashreplace")
    if name == GALLERY_FILE:
        return gallery(task, names, records())
    if name == COCO_FILE:
        return json.dumps(list(_coco(task, names, records()))).encode("ascii")
    return _parquet(task, records, tracked)


def require_tables(tables: Iterable[str], task: Task) -> None:
    """Refuses tables that cannot be written in the end.

    Raises:
        EngineError: As for `table`.
        UsageError: As for `table`.
    """
    if PARQUET_FILE in tables:
        require("polars", "parquet", "--save-parquet")
    if COCO_FILE in tables and not task.counted:
        raise UsageError("COCO has no form for the class of a whole image; use --save-csv.")


def csv_table(task: Task, records: Records, *, tracked: bool = False) -> str:
    """A CSV file of predictions (RFC 4180), with what a spreadsheet would run as a formula escaped.

    Args:
        task: The task.
        records: Those of the run.
        tracked: Whether there are numbers of objects.
    """
    columns, rows = _rectangle(task, records, tracked)
    return csv_line(columns) + "".join(csv_line(row) for row in rows)


def _rectangle(task: Task, records: Records, tracked: bool) -> tuple[list[str], Iterator[tuple[object, ...]]]:
    """The columns of the records, some of which depend on the model, and their rows; failed images have none.

    A cell that a record has nothing for is None.
    """
    more = FRAME_COLUMNS if any("frame" in each for each in records()) else ()
    found = next((each for each in records() if "error" not in each), None)
    ids = ["track_id"] if tracked else []
    columns = ["path", *more, *ids, *task.csv_columns, *(task.csv_more(found) if found else ())]

    def rows() -> Iterator[tuple[object, ...]]:
        for each in records():
            if "error" not in each:
                place = each["path"], *(each.get(name) for name in more)
                for i, row in enumerate(task.csv_rows(each)):
                    yield (*place, *(each["boxes"][i].get(name) for name in ids), *row)

    return columns, rows()


def _coco(task: Task, names: Mapping[int, str], records: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """COCO's results of all images."""
    for each in records:
        if "error" not in each:
            image_id = image_id_of(each["path"], each.get("frame"))
            yield from task.prediction.from_dict(each, names).to_coco(image_id)


def _parquet(task: Task, records: Records, tracked: bool) -> bytes:
    """The table of the CSV file with its types; text is as it is."""
    polars = require("polars", "parquet", "--save-parquet")
    columns, rows = _rectangle(task, records, tracked)
    readable = [(str(path).encode("utf-8", "backslashreplace").decode(), *row) for path, *row in rows]
    whole = io.BytesIO()
    frame = polars.DataFrame(readable, schema=columns, orient="row", infer_schema_length=None)
    frame.write_parquet(whole)
    return whole.getvalue()
