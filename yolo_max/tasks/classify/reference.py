"""Ultralytics' side of classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.reference import RawOutput, Reference


def _of_module(output: Any) -> dict[str, Any]:
    return {"logits": output[1]}


def _of_head(head: Any, feature_map: Any) -> dict[str, Any]:
    return {"logits": head.linear(head.pool(head.conv(feature_map)).flatten(1))}


def _prediction(result: Any, names: Mapping[int, str]) -> Classification:
    return Classification(result.probs.data.numpy().astype(np.float32), names, result.orig_shape)


REFERENCE = Reference(
    outputs={"logits": RawOutput(axes=(0, 1))},
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.classify:ClassificationPredictor",
    prediction=_prediction,
)
