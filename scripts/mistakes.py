"""Mistakes made in ports of YOLOv8, each as a function that makes it.

The tests use them to show that each fails the parity gate, ``fidelity.py`` to measure their cost. The product
has no such switch. A mistake is made on PyTorch's side if that needs no compiling; either side will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.detect.decode import sigmoid

Pixels = NDArray[np.uint8]
Head = NDArray[np.float32]


def fold_with_eps(module: Any, eps: float = 1e-5) -> None:
    """Sets the eps of every BatchNorm, before fusing: by default PyTorch's, where Ultralytics has 1e-3."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eps = eps


class ZeroPaddedPool(torch.nn.Module):  # type: ignore[misc]
    """Max-pooling as SPPF has it, but padded with 0 for minus infinity; SiLU goes down to -0.278."""

    def forward(self, x: Any) -> Any:
        """``[B, C, H, W]`` to the same."""
        return functional.max_pool2d(functional.pad(x, (2, 2, 2, 2)), 5, 1)


class PoolOnWrongAxes(torch.nn.Module):  # type: ignore[misc]
    """Max-pooling of an NCHW tensor that is read as NHWC: over channels and rows."""

    def forward(self, x: Any) -> Any:
        """``[B, C, H, W]`` to the same."""
        return functional.max_pool2d(x.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1)


def set_pool(module: Any, pool: torch.nn.Module) -> None:
    """Puts another max-pool into a network's SPPF."""
    (block,) = (part for part in module.modules() if type(part).__name__ == "SPPF")
    block.m = pool


def set_upsampling(module: Any, mode: str) -> None:
    """Upsamples by "bilinear" or "bicubic", where YOLOv8 repeats pixels."""
    for part in module.modules():
        if isinstance(part, torch.nn.Upsample):
            part.mode, part.align_corners = mode, False


def prefilter_on_column_4(head: Head, conf: float) -> Head:
    """Drops anchors by what lies behind the box: objectness in YOLOv5, but class 0 in YOLOv8."""
    head = head.copy()
    head[sigmoid(head[:, 64]) <= conf, 64:] = -20
    return head


def swap_sides(head: Head) -> Head:
    """Takes the sides of a box as top, left, bottom, right."""
    return np.concatenate(
        [head[:, 16:32], head[:, :16], head[:, 48:64], head[:, 32:48], head[:, 64:]], axis=1
    )


def move_to_swapped_pads(canvas: Pixels, geometry: Letterbox) -> Pixels:
    """Puts the letterbox's bars at the wrong sides, as far as the picture goes."""
    down, right = geometry.pad_left - geometry.pad_top, geometry.pad_top - geometry.pad_left
    return np.roll(canvas, (down, right), axis=(0, 1))


def swap_pads(geometry: Letterbox) -> Letterbox:
    """Takes boxes back with the pads of the other axis."""
    return replace(geometry, pad_left=geometry.pad_top, pad_top=geometry.pad_left)


def forget_pads(geometry: Letterbox) -> Letterbox:
    """Takes boxes back without pads."""
    return replace(geometry, pad_left=0, pad_top=0)


IN_THE_NETWORK: Mapping[str, Callable[[Any], None]] = {
    "max-pool padded with zeros": lambda module: set_pool(module, ZeroPaddedPool()),
    "max-pool given NCHW for NHWC": lambda module: set_pool(module, PoolOnWrongAxes()),
    "bicubic upsampling": lambda module: set_upsampling(module, "bicubic"),
    "bilinear upsampling": lambda module: set_upsampling(module, "bilinear"),
}
"""Done to Ultralytics' module, fused or not."""

IN_THE_PIXELS: Mapping[str, Callable[[Pixels, Letterbox], Pixels]] = {
    "BGR for RGB": lambda canvas, _: canvas[..., ::-1],
    "pads swapped in the letterbox": move_to_swapped_pads,
    "picture one row too low": lambda canvas, _: np.roll(canvas, 1, axis=0),
    "rows for columns": lambda canvas, _: canvas.swapaxes(0, 1),
}
"""Done to a square canvas."""

IN_THE_HEAD: Mapping[str, Callable[[Head, float], Head]] = {
    "NMS prefilter on column 4": prefilter_on_column_4,
    "sides of a box swapped": lambda head, _: swap_sides(head),
}
"""Done to the raw head, ``[A, 64 + nc]``, given the threshold of confidence."""

IN_THE_GEOMETRY: Mapping[str, Callable[[Letterbox], Letterbox]] = {
    "pads swapped on the way back": swap_pads,
    "pads forgotten on the way back": forget_pads,
}
"""Done to what takes boxes back to the image."""
