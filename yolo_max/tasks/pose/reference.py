"""Ultralytics' side of poses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.support.errors import EngineError
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.reference import RawOutput, Reference


def _raw(outputs: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    return {"head": torch.cat([outputs["boxes"], outputs["scores"]], 1), "keypoints": outputs["kpts"]}


def _of_module(output: Any) -> dict[str, Any]:
    """The raw outputs, ``[B, channels, A]`` each.

    Raises:
        EngineError: This Ultralytics returns something else.
    """
    raw = output[1] if isinstance(output, tuple) and len(output) == 2 else None
    raw = raw.get("one2one", raw) if isinstance(raw, dict) else {}
    if not {"boxes", "scores", "kpts"} <= raw.keys():
        raise EngineError("this Ultralytics returns its raw head in another form; install ultralytics>=8.4.")
    return _raw(raw)


def _of_head(head: Any, maps: Any) -> dict[str, Any]:
    return _raw(head.forward_head(maps, **(head.one2one if head.end2end else head.one2many)))


def _prediction(result: Any, names: Mapping[int, str]) -> Poses:
    rows = result.boxes.data.numpy()
    order = np.argsort(-rows[:, 4], kind="stable")
    rows, keypoints = rows[order].astype(np.float32), result.keypoints.data.numpy()[order]
    class_id = rows[:, 5].astype(np.int32)
    return Poses(rows[:, :4], rows[:, 4], class_id, names, result.orig_shape, keypoints.astype(np.float32))


REFERENCE = Reference(
    outputs={name: RawOutput(axes=(0, 2, 1), free={2: "anchors"}) for name in ("head", "keypoints")},
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.pose:PosePredictor",
    prediction=_prediction,
)
