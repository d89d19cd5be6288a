"""What is made of the records of a whole run: CSV, COCO's json, Parquet, a gallery."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_max.output.gallery import gallery
from yolo_max.output.records import FRAME_COLUMNS, csv_header, csv_rows
from yolo_max.support.errors import UsageError
from yolo_max.support.extras import require
from yolo_max.support.result_names import COCO_FILE, CSV_FILE, GALLERY_FILE, PARQUET_FILE
from yolo_max.tasks.task import Task

TABLES = (CSV_FILE, COCO_FILE, PARQUET_FILE, GALLERY_FILE)
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
        UsageError: A package that it needs is not installed, or the task has no such form.
    """
    if name == CSV_FILE:
        return _csv(task, records, tracked).encode("utf-8", "backslashreplace")
    if name == GALLERY_FILE:
        return gallery(task, names, records())
    if name == COCO_FILE:
        return json.dumps(list(_coco(task, names, records()))).encode("ascii")
    return _parquet(task, records, tracked)


def require_tables(tables: Iterable[str], task: Task) -> None:
    """Refuses tables that cannot be written in the end.

    Raises:
        UsageError: As for `table`.
    """
    if PARQUET_FILE in tables:
        require("polars", "parquet", "--save-parquet")
    if COCO_FILE in tables and not task.counted:
        raise UsageError("COCO has no form for the class of a whole image; use --save-csv.")


def _csv(task: Task, records: Records, tracked: bool) -> str:
    more = FRAME_COLUMNS if any("frame" in each for each in records()) else ()
    rows = (csv_rows(task, each, more=more, tracked=tracked) for each in records())
    return csv_header(task, records(), more=more, tracked=tracked) + "".join(rows)


def _coco(task: Task, names: Mapping[int, str], records: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """COCO's results; an image's id is the name of its file, as a number if it is one, as in Ultralytics."""
    for each in records:
        if "error" not in each:
            yield from task.prediction.from_dict(each, names).to_coco(image_id_of(each))


def image_id_of(record: Mapping[str, Any]) -> int | str:
    """COCO's id of an image, or of a frame, which is the video's with its index."""
    stem = Path(record["path"]).stem
    if "frame" in record:
        return f"{stem}_{record['frame']}"
    return int(stem) if stem.isascii() and stem.isdecimal() else stem


def _parquet(task: Task, records: Records, tracked: bool) -> bytes:
    """The columns of the CSV table with their types; text is as it is."""
    polars = require("polars", "parquet", "--save-parquet")
    found = next((each for each in records() if "error" not in each), None)
    columns = [*task.csv_columns, *(task.csv_more(found) if found else ())]
    more = FRAME_COLUMNS if any("frame" in each for each in records()) else ()
    before = ["path", *more, *(["track_id"] if tracked else [])]
    rows: list[tuple[object, ...]] = []
    for each in records():
        if "error" in each:
            continue
        place = [
            each["path"].encode("utf-8", "backslashreplace").decode(),
            *(each.get(name) for name in more),
        ]
        ids = [[box.get("track_id")] for box in each["boxes"]] if tracked else None
        for i, row in enumerate(task.csv_rows(each)):
            rows.append((*place, *(ids[i] if ids else ()), *row))
    whole = io.BytesIO()
    frame = polars.DataFrame(rows, schema=[*before, *columns], orient="row", infer_schema_length=None)
    frame.write_parquet(whole)
    return whole.getvalue()
