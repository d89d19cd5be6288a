"""The classification task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.classify.decoder import ClassifyDecoder
from yolo_max.tasks.contract import Task


def _found(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield record["top5"][0]["class_name"], record["top5"][0]["confidence"]


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for rank, each in enumerate(record["top5"], 1):
        yield rank, each["class_id"], each["class_name"], each["confidence"]


CLASSIFY = Task(
    name="classify",
    fit="centre crop",
    decoder=lambda meta, _: ClassifyDecoder(meta.names),
    prediction=Classification,
    counted=None,
    found=_found,
    csv_columns=("rank", "class_id", "class_name", "confidence"),
    csv_rows=_csv_rows,
    metric="accuracy",
)
