"""The pose task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.detect.task import DETECT
from yolo_max.tasks.pose.decoder import PosePostprocess
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.tiles import NMS
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


def _csv_more(record: Mapping[str, Any]) -> tuple[str, ...]:
    count, dimensions = record["kpt_shape"]
    parts = ("x", "y", "visibility")[:dimensions]
    return tuple(f"keypoint{i}_{part}" for i in range(count) for part in parts)


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for box, row in zip(record["boxes"], DETECT.csv_rows(record), strict=True):
        yield *row, *(value for keypoint in box["keypoints"] for value in keypoint)


def _judge(meta: ModelMeta, options: PredictOptions) -> Judge:
    from yolo_max.tasks.pose.comparison import PoseJudge  # predicting does without

    return PoseJudge(PosePostprocess.for_model(meta, options))


def _reference() -> Reference:
    from yolo_max.tasks.pose.reference import REFERENCE

    return REFERENCE


POSE = replace(
    DETECT,
    name="pose",
    decoder=PosePostprocess.for_model,
    prediction=Poses,
    csv_more=_csv_more,
    csv_rows=_csv_rows,
    metric="keypoint_map",
    merges=(NMS,),
    judge=_judge,
    reference=_reference,
)
