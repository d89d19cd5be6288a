"""Ultralytics' side of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolo_max.tasks.detect.reference import REFERENCE as DETECT
from yolo_max.tasks.detect.reference import branches, columns, raw_branch
from yolo_max.tasks.reference import RawOutput, Reference
from yolo_max.tasks.rle import boundaries_of, encode
from yolo_max.tasks.segment.segmentation import Segmentation


def _of_module(output: Any) -> dict[str, Any]:
    raw = raw_branch(output, "mask_coefficient", "proto")
    return {**DETECT.of_module(output), "coefficients": raw["mask_coefficient"], "prototypes": raw["proto"]}


def _of_head(head: Any, maps: Any) -> dict[str, Any]:
    *_, coefficients = branches(head, maps)
    # Proto26 takes every map, Proto the first.
    prototypes = head.proto(maps if hasattr(head.proto, "feat_fuse") else maps[0])
    return {**DETECT.of_head(head, maps), "coefficients": coefficients, "prototypes": prototypes}


def _prediction(result: Any, names: Mapping[int, str]) -> Segmentation:
    size: tuple[int, int] = result.orig_shape
    if result.masks is None:
        return Segmentation.empty(names, size)
    masks = result.masks.data.numpy().astype(bool)
    order, more = columns(result.boxes)
    mask_size = masks.shape[1:]
    counts = np.empty(len(order), object)
    counts[:] = [encode(boundaries_of([masks[i]], 0, 0, mask_size), mask_size) for i in order]
    return Segmentation(
        xyxy=result.boxes.xyxy.numpy().astype(np.float32)[order],
        **more,
        names=names,
        image_size=size,
        rle=counts,
        mask_size=mask_size,
        coarse_rle=np.full(len(order), "", object),
    )


REFERENCE = Reference(
    outputs={
        **DETECT.outputs,
        "coefficients": RawOutput(axes=(0, 2, 1), free={2: "anchors"}),
        "prototypes": RawOutput(axes=(0, 2, 3, 1), free={2: "rows", 3: "columns"}),
    },
    of_module=_of_module,
    of_head=_of_head,
    predictor="ultralytics.models.yolo.segment:SegmentationPredictor",
    prediction=_prediction,
)
