"""The detection task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.task import Task
from yolo_max.tasks.tiles import NMM, NMS
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


def _found(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((box["class_name"], box["confidence"]) for box in record["boxes"])


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for box in record["boxes"]:
        yield box["class_id"], box["class_name"], box["confidence"], *box["xyxy"]


def _judge(meta: ModelMeta, options: PredictOptions) -> Judge:
    from yolo_max.tasks.detect.comparison import DetectJudge  # predicting does without

    return DetectJudge(Postprocess.for_model(meta, options))


def _reference() -> Reference:
    from yolo_max.tasks.detect.reference import REFERENCE

    return REFERENCE


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
    judge=_judge,
    reference=_reference,
    merges=(NMM, NMS),
    ignores=frozenset({"retina_masks", "coarse_masks"}),
)
