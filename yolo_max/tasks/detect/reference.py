"""Ultralytics' side of detection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.support.errors import EngineError
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.reference import RawOutput, Reference


def _of_module(output: Any) -> dict[str, Any]:
    """The raw head ``[B, 4 * reg_max + nc, A]``.

    Raises:
        EngineError: This Ultralytics returns something else.
    """
    raw = output[1] if isinstance(output, tuple) and len(output) == 2 else None
    raw = raw.get("one2one", raw) if isinstance(raw, dict) else {}
    if not {"boxes", "scores"} <= raw.keys():
        raise EngineError("this Ultralytics returns its raw head in another form; install ultralytics>=8.4.")
    import torch

    return {"head": torch.cat([raw["boxes"], raw["scores"]], 1)}


def _of_head(head: Any, maps: Any) -> dict[str, Any]:
    import torch

    branches = head.one2one if head.end2end else head.one2many
    levels = [
        torch.cat([box(y), classes(y)], 1).flatten(2)
        for box, classes, y in zip(*branches.values(), maps, strict=True)
    ]
    return {"head": torch.cat(levels, 2)}


def _prediction(result: Any, names: Mapping[int, str]) -> Detections:
    rows = result.boxes.data.numpy()
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    xyxy, confidence = rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32)
    return Detections(xyxy, confidence, rows[:, 5].astype(np.int32), names, result.orig_shape)


REFERENCE = Reference(
    outputs={"head": RawOutput(axes=(0, 2, 1), free={2: "anchors"})},
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.detect:DetectionPredictor",
    prediction=_prediction,
)
