"""Predictions as text: records for JSON lines, rows for CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.task import Task

ESCAPED = tuple("=+-@\t\r\n＝＋－＠'")
"""How formulas begin (OWASP, "CSV Injection"), and the apostrophe that escapes them."""


def record(
    path: str,
    *,
    prediction: Prediction | None = None,
    error: str | None = None,
    times_ms: Mapping[str, float] | None = None,
    frames: int = 1,
    frame: int | None = None,
    time: float | None = None,
    last: bool = False,
    max_det_reached: bool = False,
    unsaved: bool = False,
) -> dict[str, Any]:
    """The outcome of one image in plain JSON types: a line of the manifest.

    Args:
        path: The image's path as given.
        prediction: Its prediction; or
        error: why there is none. Exactly one of the two is given.
        times_ms: Milliseconds per stage.
        frames: How many frames or pages the image's file holds; noted if there are several.
        frame: Of a frame of a video, its index, from 0; noted with
        time: its seconds from the start, if the video has times; and
        last: whether no other frame of the video follows.
        max_det_reached: Whether there may be more than were found; noted if so.
        unsaved: Whether the image was read and could not be drawn or written; noted if so.

    Returns:
        ``{"path", **prediction.to_dict(), "times_ms"}``; for an image that failed ``{"path", "error",
        "times_ms"}``; and what is noted. The prediction's ``from_dict`` restores it, bit for bit.
    """
    if (prediction is None) == (error is None):
        raise ValueError("A record has either a prediction or an error.")
    outcome: dict[str, Any] = {"error": error} if prediction is None else prediction.to_dict()
    if frames > 1:
        outcome["frames"] = frames
    flags = {"last": last, "max_det_reached": max_det_reached, "unsaved": unsaved}
    times = {stage: round(value, 3) for stage, value in (times_ms or {}).items()}
    place: dict[str, Any] = {} if frame is None else {"frame": frame}
    if time is not None:
        place["time"] = round(time, 6)
    return {
        "path": path,
        **place,
        **outcome,
        **{name: True for name, flag in flags.items() if flag},
        "times_ms": times,
    }


FRAME_COLUMNS = ("frame", "time")
"""The columns of a frame, behind the path, where a run has any."""


def csv_header(
    task: Task,
    records: Iterable[Mapping[str, Any]] = (),
    *,
    more: Sequence[str] = (),
    tracked: bool = False,
) -> str:
    """The first line of a CSV file of predictions (RFC 4180).

    Args:
        task: The task.
        records: Those of the images; where all columns depend on the model, any that did not fail has them.
        more: Columns of the record, behind the path.
        tracked: Whether there is a column for the number of each object in its video, behind those.
    """
    found = next((each for each in records if "error" not in each), None)
    before = ("path", *more, *(["track_id"] if tracked else []))
    return _csv_line((*before, *task.csv_columns, *(task.csv_more(found) if found else ())))


def csv_rows(
    task: Task, result: Mapping[str, Any], *, more: Sequence[str] = (), tracked: bool = False
) -> str:
    """The CSV lines of a `record`; none for an image that failed.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, as does text that begins with
    one: without its first apostrophe, every text is as it was.

    Args:
        task: The task.
        result: The record.
        more: As for `csv_header`; empty in the rows of a record without them.
        tracked: As for `csv_header`.
    """
    if "error" in result:
        return ""
    place = (result["path"], *(result.get(name, "") for name in more))
    rows = [(*place, *row) for row in task.csv_rows(result)]
    if tracked:
        ids = [box.get("track_id", "") for box in result["boxes"]]
        at = len(place)
        rows = [(*row[:at], number, *row[at:]) for row, number in zip(rows, ids, strict=True)]
    return "".join(_csv_line(row) for row in rows)


def _csv_line(values: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_escaped(value) for value in values])
    return line.getvalue()


def _escaped(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(ESCAPED) else value
