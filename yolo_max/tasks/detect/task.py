"""The detection task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yolo_max.tasks.contract import Task
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess


def _found(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((box["class_name"], box["confidence"]) for box in record["boxes"])


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for box in record["boxes"]:
        yield box["class_id"], box["class_name"], box["confidence"], *box["xyxy"]


DETECT = Task(
    name="detect",
    fit="letterbox",
    decoder=Postprocess.for_model,
    prediction=Detections,
    counted="object",
    found=_found,
    csv_columns=("class_id", "class_name", "confidence", "x1", "y1", "x2", "y2"),
    csv_rows=_csv_rows,
    metric="map",
)
