"""Ultralytics' side of rotated detection."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import Any

import numpy as np

from yolo_max.tasks.detect import reference as detect
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.reference import RawOutput, Reference


def _prepare(module: Any) -> None:
    """Has the head return its angles as the branch gives them, which is what YOLO26's does."""
    from ultralytics.nn.modules.head import OBB26

    head = module.model[-1]
    head.forward_head = MethodType(OBB26.forward_head, head)


def _of_module(output: Any) -> dict[str, Any]:
    return {**detect.of_module(output), "angle": detect.raw_branch(output, "angle")["angle"]}


def _of_head(head: Any, maps: Any) -> dict[str, Any]:
    import torch

    boxes, classes, angles = detect.branches(head, maps)
    return {"head": torch.cat([boxes, classes], 1), "angle": angles}


def _prediction(result: Any, names: Mapping[int, str]) -> RotatedDetections:
    order, more = detect.columns(result.obb)
    return RotatedDetections(
        xywhr=result.obb.xywhr.numpy().astype(np.float32)[order],
        **more,
        names=names,
        image_size=result.orig_shape,
    )


REFERENCE = Reference(
    outputs={
        "head": RawOutput(axes=(0, 2, 1), free={2: "anchors"}),
        "angle": RawOutput(axes=(0, 2, 1), free={2: "anchors"}),
    },
    prepare=_prepare,
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.obb:OBBPredictor",
    prediction=_prediction,
)
