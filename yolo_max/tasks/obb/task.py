"""The task of rotated boxes, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.detect.task import DETECT
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for box in record["boxes"]:
        points = (side for point in box["xyxyxyxy"] for side in point)
        yield box["class_id"], box["class_name"], box["confidence"], *box["xywhr"], *points


def _judge(meta: ModelMeta, options: PredictOptions) -> Judge:
    from yolo_max.tasks.obb.comparison import RotatedJudge  # predicting does without

    return RotatedJudge(RotatedPostprocess.for_model(meta, options))


def _reference() -> Reference:
    from yolo_max.tasks.obb.reference import REFERENCE

    return REFERENCE


OBB = replace(
    DETECT,
    name="obb",
    decoder=RotatedPostprocess.for_model,
    prediction=RotatedDetections,
    csv_columns=(
        *("class_id", "class_name", "confidence", "x", "y", "width", "height", "angle"),
        *(f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"),
    ),
    csv_rows=_csv_rows,
    metric="rotated_map",
    judge=_judge,
    reference=_reference,
    val_conf=0.01,
)
