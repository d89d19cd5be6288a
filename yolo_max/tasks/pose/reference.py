"""Ultralytics' side of poses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.tasks.detect.reference import columns, of_module, raw_branch
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.reference import RawOutput, Reference


def _of_module(output: Any) -> dict[str, Any]:
    return {**of_module(output), "keypoints": raw_branch(output, "kpts")["kpts"]}


def _of_head(head: Any, maps: Any) -> dict[str, Any]:
    import torch

    raw = head.forward_head(maps, **(head.one2one if head.end2end else head.one2many))
    return {"head": torch.cat([raw["boxes"], raw["scores"]], 1), "keypoints": raw["kpts"]}


def _prediction(result: Any, names: Mapping[int, str]) -> Poses:
    order, more = columns(result.boxes)
    return Poses(
        xyxy=result.boxes.xyxy.numpy().astype(np.float32)[order],
        names=names,
        image_size=result.orig_shape,
        keypoints=result.keypoints.data.numpy().astype(np.float32)[order],
        **more,
    )


REFERENCE = Reference(
    outputs={name: RawOutput(axes=(0, 2, 1), free={2: "anchors"}) for name in ("head", "keypoints")},
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.pose:PosePredictor",
    prediction=_prediction,
)
