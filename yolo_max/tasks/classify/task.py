"""The classification task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.classify.decoder import ClassifyDecoder
from yolo_max.tasks.task import Task
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


def _found(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield record["top5"][0]["class_name"], record["top5"][0]["confidence"]


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for rank, each in enumerate(record["top5"], 1):
        yield rank, each["class_id"], each["class_name"], each["confidence"]


def _judge(meta: ModelMeta, _: PredictOptions) -> Judge:
    from yolo_max.tasks.classify.comparison import ClassifyJudge  # predicting does without

    return ClassifyJudge(meta.nc)


def _reference() -> Reference:
    from yolo_max.tasks.classify.reference import REFERENCE

    return REFERENCE


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
    judge=_judge,
    reference=_reference,
    ignores=frozenset(
        {"conf", "iou", "classes", "max_det", "agnostic_nms", "multi_label", "clip", "round_up", "rect"}
    )
    | {"retina_masks", "coarse_masks"},
)
