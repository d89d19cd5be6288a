"""The layers and raw outputs of Ultralytics' module, taken from its branches, whatever its task decodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from yolo_max.engine.torch_module import build_module
from yolo_max.weights.load import Weights


def run(
    weights: Weights, pixels: NDArray[np.uint8], dtype: Any = torch.float64
) -> tuple[list[NDArray[Any]], dict[str, NDArray[Any]]]:
    """The map of each row of the table, and the raw outputs, NHWC."""
    return of_module(build_module(weights).to(dtype).eval().fuse(verbose=False), pixels)


def of_module(module: Any, pixels: NDArray[np.uint8]) -> tuple[list[NDArray[Any]], dict[str, NDArray[Any]]]:
    """The same of a module of Ultralytics."""
    maps: list[Any] = []
    for layer in module.model[:-1]:
        layer.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    given: list[Any] = []
    head = module.model[-1]
    head.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        module(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(next(module.parameters()).dtype) / 255)
        return [_nhwc(y) for y in maps], {name: y.numpy() for name, y in _raw(head, given[0]).items()}


def _raw(head: Any, maps: Any) -> dict[str, Any]:
    if not hasattr(head, "cv2"):
        return {"logits": head.linear(head.pool(head.conv(maps)).flatten(1))}
    branches = head.one2one if head.end2end else head.one2many
    box, classes = branches["box_head"], branches["cls_head"]
    raw = {"head": _rows([torch.cat([box[i](y), classes[i](y)], 1) for i, y in enumerate(maps)])}
    for name, output in (("mask_head", "coefficients"), ("angle_head", "angle"), ("pose_head", "keypoints")):
        if name in branches:
            levels = [branches[name][i](y) for i, y in enumerate(maps)]
            last = branches.get("kpts_head")
            raw[output] = _rows([last[i](y) for i, y in enumerate(levels)] if last else levels)
    if hasattr(head, "proto"):
        several = hasattr(head.proto, "feat_fuse")
        raw["prototypes"] = head.proto(maps if several else maps[0]).permute(0, 2, 3, 1)
    return raw


def _rows(levels: list[Any]) -> Any:
    """``[B, C, H, W]`` of each level as ``[B, cells, C]``."""
    return torch.cat([y.flatten(2) for y in levels], 2).transpose(1, 2)


def _nhwc(y: Any) -> NDArray[Any]:
    y = torch.cat(y, 1) if isinstance(y, tuple) else y  # several maps
    array: NDArray[Any] = y.permute(0, 2, 3, 1).numpy()
    return array
