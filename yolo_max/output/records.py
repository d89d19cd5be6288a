"""What was found in an image, as text: a record for JSON lines, and rows of a CSV table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from yolo_max.tasks.contract import Prediction, Task


def record(
    path: str,
    *,
    prediction: Prediction | None = None,
    error: str | None = None,
    times_ms: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What became of one image, in plain JSON types: a line of the manifest.

    Args:
        path: The image as it was named.
        prediction: What was found in it.
        error: Why it could not be read; exactly one of the two is given.
        times_ms: Milliseconds by stage.

    Returns:
        ``{"path", "times_ms"}`` and what the prediction's ``to_dict`` gives; or ``{"path", "error",
        "times_ms"}`` for an image that failed. Its ``from_dict`` reads the former back, bit for bit.
    """
    if (prediction is None) == (error is None):
        raise ValueError("A record has either a prediction or an error.")
    outcome: dict[str, Any] = {"error": error} if prediction is None else prediction.to_dict()
    times = {stage: round(value, 3) for stage, value in (times_ms or {}).items()}
    return {"path": path, **outcome, "times_ms": times}


def csv_header(task: Task) -> str:
    """The first line of a CSV file of predictions (RFC 4180)."""
    return _csv_line(("path", *task.csv_columns))


def csv_rows(task: Task, result: Mapping[str, Any]) -> str:
    """The CSV lines of a `record`; none for an image that failed."""
    if "error" in result:
        return ""
    return "".join(_csv_line((result["path"], *row)) for row in task.csv_rows(result))


def _csv_line(values: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
