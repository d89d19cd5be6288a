"""A backend that computes nothing: what each block costs, and the kernel of each of its convolutions.

The blocks themselves run, on maps without memory, so a count cannot differ from what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window
from yolo_max.model.backend import Head, Level
from yolo_max.model.max_nn import Module
from yolo_max.model.model import make_block
from yolo_max.model.specs import Layer

SIDES = 4
"""Of a box, each the mean of its bins."""


class ConvCount(NamedTuple):
    """What a convolution does for one image.

    Attributes:
        kernel: The name of the kernel that computes it on the CPU, in float32, at this size.
        products: Multiplications of its filters with its input.
        outputs: Numbers in its result.
    """

    kernel: str
    products: int
    outputs: int


@dataclass(frozen=True)
class LayerCount:
    """What a row of the table does for one image.

    Attributes:
        output: Its map, without memory; None for a head.
        shapes: Of its result, without the batch, by the names of a head's outputs; "" for a map.
        convolutions: Those that run, by their names in the checkpoint.
        other: Products elsewhere: attention, averages, the bins of a box.
    """

    output: FeatureMap | None
    shapes: dict[str, tuple[int, ...]]
    convolutions: dict[str, ConvCount]
    other: int


def blank(*shape: int) -> FeatureMap:
    """A map ``(height, width, channels)`` of one image, without memory."""
    return FeatureMap.of(_blank(*shape))


def count(layer: Layer, inputs: Sequence[FeatureMap]) -> LayerCount:
    """Runs a ported layer on maps without memory.

    Args:
        layer: The row.
        inputs: As many maps as it reads, from `blank` or earlier layers.
    """
    backend = _CountingBackend()
    block = make_block(backend, layer)
    result = block(*inputs)
    convolutions = {
        f"model.{layer.index}.{path}".rstrip("."): module.count
        for path, module in block.named_modules()
        if isinstance(module, _CountingConv2d | _CountingConvTranspose2d) and module.count
    }
    for each in layer.convolutions():
        if each.kind == "Parameter":  # Ultralytics counts the products of modules alone
            convolutions[each.name] = convolutions[each.name]._replace(products=0)
    if isinstance(result, Head):
        shapes = {name: tuple(map(int, each.shape[1:])) for name, each in result.outputs.items()}
        bins = sum(values.size for values in layer.spec.constants(layer).values())
        cells = shapes["head"][0] if bins else 0
        return LayerCount(None, shapes, convolutions, backend.other + SIDES * bins * cells)
    _, height, width = map(int, result.size)
    return LayerCount(result, {"": (height, width, result.channels)}, convolutions, backend.other)


def forms(layer: Layer) -> Iterator[Layer]:
    """The layer as it may run: a head with two pairs of branches runs either, the one without NMS last."""
    yield layer
    if layer.args.get("end2end") and layer.args["nms"]:
        yield replace(layer, args={**layer.args, "nms": False})


def _blank(*shape: int) -> Any:
    """Zeros ``[1, *shape]`` that share one number."""
    return np.broadcast_to(np.float32(0), (1, *shape))


class _CountingConv2d(Module):
    """A convolution that notes what it would do."""

    def __init__(self, c1: int, c2: int, k: int, s: int, p: int, depthwise: bool) -> None:
        super().__init__()
        groups = c1 if depthwise else 1
        self.c1, self.c2 = c1, c2
        self.window = Window.of(k, s, p, groups=groups)
        self.kernel = ConvKernel.choose(c1, k, s, Precision.F32, c2=c2, padding=p, groups=groups)
        self.count: ConvCount | None = None

    def __call__(self, x: FeatureMap, *_: object, **__: object) -> FeatureMap:
        """``[1, H, W, c1] -> [1, H', W', c2]``."""
        _, *sides = x.size
        height, width = map(int, self.window.outputs(*sides))
        outputs = height * width * self.c2
        products = outputs * prod(self.window.kernel) * self.c1 // self.window.groups
        self.count = ConvCount(str(self.kernel.algorithm(height, width)), products, outputs)
        return blank(height, width, self.c2)


class _CountingConvTranspose2d(Module):
    """A transposed convolution of size and stride ``s``."""

    def __init__(self, c1: int, c2: int, s: int) -> None:
        super().__init__()
        self.c1, self.c2, self.s = c1, c2, s
        self.count: ConvCount | None = None

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[1, H, W, c1] -> [1, s * H, s * W, c2]``."""
        _, height, width = map(int, x.size)
        outputs = height * width * self.s**2 * self.c2
        self.count = ConvCount("transposed", outputs * self.c1, outputs)
        return blank(height * self.s, width * self.s, self.c2)


class _CountingBackend:
    """The operations of the blocks (see ``backend.py``), counted."""

    extensions: tuple[Path, ...] = ()
    inputs: tuple[Any, ...] = ()
    activation = Activation.SILU

    def __init__(self) -> None:
        self.other = 0

    def image(self, pixels: Any) -> FeatureMap:
        return FeatureMap.of(pixels)

    def values(self, x: FeatureMap) -> FeatureMap:
        return x

    def normalise(self, x: FeatureMap, *_: Sequence[float]) -> FeatureMap:
        return x

    def conv2d(self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Any) -> Any:  # noqa: ARG002
        return _CountingConv2d(c1, c2, k, s, p, depthwise)

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Any:
        return _CountingConvTranspose2d(c1, c2, s)

    def add(self, x: FeatureMap, y: FeatureMap) -> FeatureMap:  # noqa: ARG002
        return x

    def max_pool(self, x: FeatureMap, k: int, s: int = 1, p: int | None = None) -> FeatureMap:
        padding = k // 2 if p is None else p
        height, width = ((int(side) + 2 * padding - k) // s + 1 for side in x.size[1:])
        return blank(height, width, x.channels)

    def zero_pad(self, x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
        _, height, width = map(int, x.size)
        return blank(top + height + bottom, left + width + right, x.channels)

    def average_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        height, width = (int(side) - k + 1 for side in x.size[1:])
        return blank(height, width, x.channels)

    def mean(self, x: FeatureMap) -> FeatureMap:
        self.other += (prod(map(int, x.size)) + 1) * x.channels  # a sum over the pixels, and a division
        return blank(1, 1, x.channels)

    def attention(self, qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
        _, height, width = map(int, qkv.size)
        self.other += (height * width) ** 2 // areas * heads * (keys + values)
        return blank(height, width, heads * values)

    def candidates(self, classes: Any) -> None:  # noqa: ARG002
        return None

    def predict(self, levels: Sequence[Level]) -> Any:
        cells, columns = 0, 0
        for level in levels:
            maps = [each.conv(each.features) for each in level.predictions]
            cells += prod(map(int, maps[0].size))
            columns = sum(each.channels for each in maps)
        return _blank(cells, columns)

    def tensor(self, x: FeatureMap) -> NDArray[Any]:
        _, height, width = map(int, x.size)
        result: NDArray[Any] = _blank(height, width, x.channels)
        return result
