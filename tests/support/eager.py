"""A backend in PyTorch that computes at once, in float64: the blocks' wiring, without compiling anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.architecture import Architecture
from yolo_max.model.backend import Level
from yolo_max.model.max_nn import Module
from yolo_max.model.model import MaxYolo

ACTIVATIONS: dict[Activation, Callable[[Any], Any]] = {
    Activation.NONE: lambda y: y,
    Activation.SILU: functional.silu,
    Activation.RELU: functional.relu,
    Activation.RELU6: functional.relu6,
    Activation.HARD_SWISH: functional.hardswish,
}


def run(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.float32]], pixels: NDArray[np.uint8]
) -> tuple[list[NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """The map of each row of the table, and the raw outputs."""
    network = MaxYolo(architecture, EagerBackend())
    for path, module in network.named_modules():
        if isinstance(module, EagerConv2d):
            name = path.rstrip(".")
            module.filters, module.bias = (_double(tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
    maps, head = network(torch.from_numpy(pixels))
    return [_whole(y).numpy() for y in maps], {name: y.numpy() for name, y in head.outputs.items()}


class EagerConv2d(Module):  # type: ignore[misc]
    """A convolution whose weights are set before it is called."""

    def __init__(self, s: int, p: int, depthwise: bool, activation: Activation) -> None:
        super().__init__()
        self.s, self.p, self.depthwise, self.activation = s, p, depthwise, activation
        self.filters: Any = None
        self.bias: Any = None

    def __call__(self, x: FeatureMap, residual: FeatureMap | None = None, only: object = None) -> FeatureMap:
        pixels = _whole(x)
        filters = self.filters.permute(3, 2, 0, 1)
        groups = pixels.shape[3] if self.depthwise else 1
        y = functional.conv2d(pixels.permute(0, 3, 1, 2), filters, self.bias, self.s, self.p, groups=groups)
        y = ACTIVATIONS[self.activation](y)
        y = y.permute(0, 2, 3, 1)
        return FeatureMap.of(y if residual is None else y + _whole(residual))


class EagerConvTranspose2d(EagerConv2d):
    """A transposed convolution of size and stride ``s``."""

    def __call__(self, x: FeatureMap, residual: FeatureMap | None = None, only: object = None) -> FeatureMap:
        filters = self.filters.permute(2, 3, 0, 1)
        y = functional.conv_transpose2d(_whole(x).permute(0, 3, 1, 2), filters, self.bias, self.s)
        return FeatureMap.of(y.permute(0, 2, 3, 1))


class EagerBackend:
    """The operations of the blocks, on NHWC tensors."""

    extensions: tuple[Path, ...] = ()
    inputs: tuple[Any, ...] = ()
    activation = Activation.SILU

    def image(self, pixels: Any) -> FeatureMap:
        return FeatureMap.of(pixels.double() / 255)

    def values(self, x: FeatureMap) -> FeatureMap:
        return x

    def normalise(self, x: FeatureMap, mean: Sequence[float], std: Sequence[float]) -> FeatureMap:
        return FeatureMap.of((_whole(x) - torch.tensor(mean).double()) / torch.tensor(std).double())

    def conv2d(
        self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Activation
    ) -> Any:
        return EagerConv2d(s, p, depthwise, activation)

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Any:
        return EagerConvTranspose2d(s, 0, False, Activation.NONE)

    def add(self, x: FeatureMap, y: FeatureMap) -> FeatureMap:
        return FeatureMap.of(_whole(x) + _whole(y))

    def max_pool(self, x: FeatureMap, k: int, s: int = 1, p: int | None = None) -> FeatureMap:
        y = functional.max_pool2d(_whole(x).permute(0, 3, 1, 2), k, s, k // 2 if p is None else p)
        return FeatureMap.of(y.permute(0, 2, 3, 1))

    def zero_pad(self, x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
        return FeatureMap.of(functional.pad(_whole(x), (0, 0, left, right, top, bottom)))

    def average_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        y = functional.avg_pool2d(_whole(x).permute(0, 3, 1, 2), k, 1)
        return FeatureMap.of(y.permute(0, 2, 3, 1))

    def mean(self, x: FeatureMap) -> FeatureMap:
        return FeatureMap.of(_whole(x).mean((1, 2), keepdim=True))

    def attention(self, qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
        x = _whole(qkv)
        batch, height, width, _ = x.shape
        parts = x.reshape(batch * areas, height * width // areas, heads, -1).transpose(1, 2)
        q, k, v = parts.split([keys, keys, values], 3)
        y = functional.scaled_dot_product_attention(q, k, v)
        return FeatureMap.of(y.transpose(1, 2).reshape(batch, height, width, heads * values))

    def candidates(self, classes: Any) -> None:
        return None

    def predict(self, levels: Sequence[Level]) -> Any:
        rows = []
        for level in levels:
            parts = [_whole(each.conv(each.features)) for each in level.predictions]
            rows.append(torch.cat(parts, 3).flatten(1, 2))
        return torch.cat(rows, 1)

    def tensor(self, x: FeatureMap) -> Any:
        return _whole(x)


def _double(values: NDArray[np.float32]) -> Any:
    return torch.from_numpy(np.array(values, np.float64))


def _whole(x: FeatureMap) -> Any:
    """A view as one tensor."""
    parts: list[Any] = []
    for part in x.slices:
        y: Any = part.tensor[:, :, :, part.start : part.start + part.channels]
        parts.append(y.repeat_interleave(2, 1).repeat_interleave(2, 2) if part.doubled else y)
    return torch.cat(parts, 3)
