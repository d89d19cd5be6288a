"""Lines and volumes: their operations become those of maps, and here are the ways there and back."""

from __future__ import annotations

from typing import Any

from max.graph import TensorValue, ops

from yolo_max.convert import fused, planes
from yolo_max.convert.rule import Call, Layout, Rule, materialise
from yolo_max.convert.rules.maps import becomes_another
from yolo_max.kernels.feature_map import FeatureMap


def _as_maps(call: Call, x: TensorValue) -> TensorValue:
    batch, channels, height, width = call.shape
    order = [0, 2, 1] if x.rank == 3 else [0, 2, 3, 4, 1]
    return ops.reshape(ops.permute(x, order), [batch, height, width, channels])


def _as_lines(_call: Call, x: FeatureMap) -> TensorValue:
    tensor = materialise(x)
    batch, _, width, channels = tensor.shape
    return ops.permute(ops.reshape(tensor, [batch, width, channels]), [0, 2, 1])


def _as_volumes(call: Call, x: FeatureMap, _depth: int) -> TensorValue:
    batch, channels, depth, height, width = call.shape
    frames = ops.reshape(materialise(x), [batch, depth, height, width, channels])
    return ops.permute(frames, [0, 4, 1, 2, 3])


def _same_memory(call: Call, x: FeatureMap, *_: Any) -> FeatureMap:
    batch, channels, height, width = call.shape
    return FeatureMap.of(ops.reshape(materialise(x), [batch, height, width, channels]))


RULES = [
    Rule(fused.as_maps, _as_maps, layout=Layout.ROWS_TO_MAPS),
    Rule(fused.as_lines, _as_lines, layout=Layout.MAPS),
    Rule(fused.as_volumes, _as_volumes, layout=Layout.MAPS),
    Rule(fused.as_rows, _same_memory, "a view", Layout.MAPS),
    Rule(fused.as_frames, _same_memory, "a view", Layout.MAPS),
    *(
        Rule(operation, becomes_another, "its form of maps", refuses=planes.refusal)
        for operation in planes.FORMS
    ),
]
