"""The segmentation task, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.detect.task import DETECT
from yolo_max.tasks.segment.decoder import SegmentDecoder
from yolo_max.tasks.segment.segmentation import Segmentation
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


def _csv_rows(record: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for row, box in zip(DETECT.csv_rows(record), record["boxes"], strict=True):
        yield *row, " ".join(f"{side:g}" for point in box["polygon"] for side in point)


def _judge(meta: ModelMeta, options: PredictOptions) -> Judge:
    from yolo_max.tasks.segment.comparison import SegmentJudge  # predicting does without

    return SegmentJudge(SegmentDecoder.for_model(meta, options))


def _reference() -> Reference:
    from yolo_max.tasks.segment.reference import REFERENCE

    return REFERENCE


SEGMENT = replace(
    DETECT,
    name="segment",
    decoder=SegmentDecoder.for_model,
    prediction=Segmentation,
    csv_columns=(*DETECT.csv_columns, "polygon"),
    csv_rows=_csv_rows,
    metric="mask_map",
    judge=_judge,
    reference=_reference,
    ignores=frozenset(),
)
