"""What was found in an image, as text: a record for JSON lines, YOLO labels, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.tasks.detect.detections import Detections


def record(
    path: str,
    *,
    detections: Detections | None = None,
    error: str | None = None,
    times_ms: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What became of one image, in plain JSON types: a line of ``detections.jsonl``.

    Args:
        path: The image as it was named.
        detections: What was found in it.
        error: Why it could not be read; exactly one of the two is given.
        times_ms: Milliseconds by stage.

    Returns:
        ``{"path", "image_size": [height, width], "boxes": [{"class_id", "class_name", "confidence",
        "xyxy"}, ...], "times_ms"}``, or ``{"path", "error", "times_ms"}`` for an image that failed.
        ``Detections.from_dict`` reads the former back, bit for bit.
    """
    if (detections is None) == (error is None):
        raise ValueError("A record has either detections or an error.")
    outcome: dict[str, Any] = {"error": error} if detections is None else detections.to_dict()
    times = {stage: round(value, 3) for stage, value in (times_ms or {}).items()}
    return {"path": path, **outcome, "times_ms": times}


def yolo_labels(detections: Detections, *, confidence: bool = False) -> str:
    """The detections in the label format of YOLO data sets, as Ultralytics' ``save_txt`` writes it.

    Args:
        detections: Of one image.
        confidence: Whether to end each line with it (``save_conf``).

    Returns:
        A line ``class x y width height [confidence]`` a box: centre and size, as fractions of the image's.
    """
    height, width = detections.image_size
    x1, y1, x2, y2 = detections.xyxy.T
    size = np.float32(width), np.float32(height)
    columns = [
        detections.class_id,
        (x1 + x2) / 2 / size[0],
        (y1 + y2) / 2 / size[1],
        (x2 - x1) / size[0],
        (y2 - y1) / size[1],
    ]
    if confidence:
        columns.append(detections.confidence)
    return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in zip(*columns, strict=True))


CSV_COLUMNS = ("path", "class_id", "class_name", "confidence", "x1", "y1", "x2", "y2")


def csv_header() -> str:
    """The first line of a CSV file of detections (RFC 4180)."""
    return _csv_line(CSV_COLUMNS)


def csv_rows(result: Mapping[str, Any]) -> str:
    """The CSV lines of a `record`, one a box in image pixels; none for an image that failed."""
    return "".join(
        _csv_line((result["path"], box["class_id"], box["class_name"], box["confidence"], *box["xyxy"]))
        for box in result.get("boxes", ())
    )


def _csv_line(values: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
