"""Ultralytics' side of detection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.reference import RawOutput, Reference


def of_module(output: Any) -> dict[str, Any]:
    """The raw head, ``[B, 4 * reg_max + nc, A]``.

    Raises:
        EngineError: This Ultralytics returns something else.
    """
    import torch

    raw = raw_branch(output)
    return {"head": torch.cat([raw["boxes"], raw["scores"]], 1)}


def raw_branch(output: Any, *names: str) -> Mapping[str, Any]:
    """What the branches in use of a head with boxes give, by Ultralytics' names.

    Args:
        output: What the module returns.
        names: What they must give besides "boxes" and "scores".

    Raises:
        EngineError: This Ultralytics returns something else.
    """
    raw = output[1] if isinstance(output, tuple) and len(output) == 2 else None
    raw = raw.get("one2one", raw) if isinstance(raw, dict) else {}
    if not {"boxes", "scores", *names} <= raw.keys():
        raise EngineError("this Ultralytics returns its raw head in another form; install ultralytics>=8.4.")
    return raw


def of_head(head: Any, maps: Any) -> dict[str, Any]:
    """The same from the head and its inputs."""
    import torch

    boxes, classes, *_ = branches(head, maps)
    return {"head": torch.cat([boxes, classes], 1)}


def branches(head: Any, maps: Any) -> list[Any]:
    """What each branch in use gives, ``[B, channels, A]``: boxes, classes, and others that a head has."""
    import torch

    of_each = head.one2one if head.end2end else head.one2many
    return [
        torch.cat([layer(y).flatten(2) for layer, y in zip(levels, maps, strict=True)], 2)
        for levels in of_each.values()
    ]


def columns(boxes: Any) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """What boxes of Ultralytics', upright or rotated, have in common with `Detections`.

    Returns:
        Their order, most confident first, and in that order "confidence", "class_id" and "track_id".
    """
    confidence = boxes.conf.numpy().astype(np.float32)
    order = np.argsort(-confidence, kind="stable")
    return order, {
        "confidence": confidence[order],
        "class_id": boxes.cls.numpy().astype(np.int32)[order],
        "track_id": None if boxes.id is None else boxes.id.numpy().astype(np.int32)[order],
    }


def _prediction(result: Any, names: Mapping[int, str]) -> Detections:
    order, more = columns(result.boxes)
    xyxy = result.boxes.xyxy.numpy().astype(np.float32)[order]
    return Detections(xyxy, names=names, image_size=result.orig_shape, **more)


REFERENCE = Reference(
    outputs={"head": RawOutput(axes=(0, 2, 1), free={2: "anchors"})},
    of_module=of_module,
    of_head=of_head,
    predictor="ultralytics.models.yolo.detect:DetectionPredictor",
    prediction=_prediction,
)
