"""The backend on MAX's own operations.

It is slower than ``fused.py`` and serves as its oracle: every view is materialised with ``ops.split`` and
``ops.concat``, and every convolution is MAX's own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Dim, TensorType, TensorValue, Weight, ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, materialise
from yolo_max.model.backend import Candidates, Conv2d, Level, Prediction
from yolo_max.model.max_nn import Module

_ACTIVATIONS: dict[Activation, Callable[[TensorValue], TensorValue]] = {
    Activation.NONE: lambda x: x,
    Activation.SILU: ops.silu,
    Activation.RELU: ops.relu,
    Activation.RELU6: lambda x: ops.min(ops.relu(x), 6.0),
    Activation.HARD_SWISH: lambda x: x * ops.min(ops.relu(x + 3.0), 6.0) / 6.0,
}


def add(x: FeatureMap, y: FeatureMap) -> FeatureMap:
    """The sum of two maps of one size."""
    total = materialise(x)
    # Equal symbolic sizes may look different: (h // 2) * 2 and h.
    return FeatureMap.of(ops.add(total, materialise(y).rebind(total.shape)))


def normalise(x: FeatureMap, mean: Sequence[float], std: Sequence[float]) -> FeatureMap:
    """``(x - mean) / std``, by channel, in float32."""
    tensor = materialise(x)
    shift, scale = (
        ops.constant(np.array(each, np.float32), DType.float32, tensor.device) for each in (mean, std)
    )
    return FeatureMap.of((tensor - shift) / scale)


def zero_pad(x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
    """Adds zeros around the map."""
    return FeatureMap.of(ops.pad(materialise(x), [0, 0, top, bottom, left, right, 0, 0]))


def mean(x: FeatureMap) -> FeatureMap:
    """Averages each channel over the map, in float32: ``[B, H, W, c] -> [B, 1, 1, c]``."""
    tensor = materialise(x)
    batch, height, width, channels = tensor.shape
    pixels = ops.reshape(ops.cast(tensor, DType.float32), [batch, height * width, channels])
    return FeatureMap.of(ops.reshape(ops.mean(pixels, 1), [batch, 1, 1, channels]))


def into_areas(x: TensorValue, areas: int) -> TensorValue:
    """``[B, H, W, C] -> [B * areas, 1, H * W / areas, C]``."""
    batch, height, width, channels = x.shape
    if areas == 1:
        return x
    pixels = height * width // areas
    rows = ops.reshape(x, [batch, height * width, channels]).rebind([batch, pixels * areas, channels])
    return ops.reshape(rows, [batch * areas, 1, pixels, channels])


def out_of_areas(x: TensorValue, areas: int, size: tuple[Dim, Dim, Dim]) -> TensorValue:
    """The inverse, for a map of this batch, height and width."""
    batch, height, width = size
    if areas == 1:
        return x
    _, _, pixels, channels = x.shape
    rows = ops.reshape(x, [batch, pixels * areas, channels]).rebind([batch, height * width, channels])
    return ops.reshape(rows, [batch, height, width, channels])


def attention(qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
    """Attends from every pixel to all of its area; see :class:`yolo_max.model.backend.Backend`.

    The products are sums of elementwise ones: MAX's batched products of transposed operands come out wrong.
    """
    tensor = into_areas(materialise(qkv), areas)
    batch, height, width, _ = tensor.shape
    pixels = height * width
    by_head = ops.reshape(tensor, [batch, pixels, heads, 2 * keys + values])
    q, k, v = ops.split(by_head, [keys, keys, values], axis=3)
    q = ops.reshape(q * keys**-0.5, [batch, pixels, 1, heads, keys])
    k = ops.reshape(k, [batch, 1, pixels, heads, keys])
    v = ops.reshape(v, [batch, 1, pixels, heads, values])
    scores = ops.sum(q * k, 4)  # [B, to, from, heads, 1]
    scores = ops.exp(scores - ops.max(scores, axis=2))
    y = ops.sum(scores * v, 2) / ops.sum(scores, 2)
    y = ops.reshape(y, [batch, height, width, heads * values])
    return FeatureMap.of(out_of_areas(y, areas, qkv.size))


def depthwise(x: TensorValue, filters: TensorValue, stride: int, padding: int) -> TensorValue:
    """Convolves each channel by itself, tap by tap: MAX's grouped convolution does not compile.

    Args:
        x: ``[B, H, W, c]``, of static height and width.
        filters: ``[k, k, 1, c]``.
        stride: Input pixels from one output to the next.
        padding: Zeros on each side.
    """
    _, height, width, _ = x.shape
    k = int(filters.shape[0])
    padded = ops.pad(x, [0, 0, *[padding] * 4, 0, 0])
    rows, columns = ((int(side) + 2 * padding - k) // stride * stride + 1 for side in (height, width))
    taps = [
        padded[:, i : i + rows : stride, j : j + columns : stride, :] * filters[i, j, 0, :]
        for i in range(k)
        for j in range(k)
    ]
    return reduce(operator.add, taps)


class StockConv2d(Module):
    """Convolution, bias, activation and residual as MAX operations; filters stay RSCF ``[k, k, c1, c2]``."""

    def __init__(
        self,
        c1: int,
        c2: int,
        k: int,
        s: int,
        p: int,
        *,
        depthwise: bool,
        activation: Activation,
        device: DeviceRef,
    ) -> None:
        super().__init__()
        self.stride = s
        self.padding = p
        self.depthwise = depthwise
        self.activate = _ACTIVATIONS[activation]
        # A Weight rather than a constant: MAX does not compile a convolution with constant filters.
        self.weight = Weight("weight", DType.float32, [k, k, 1 if depthwise else c1, c2], device)
        self.bias = Weight("bias", DType.float32, [c2], device)

    def __call__(
        self,
        x: FeatureMap,
        residual: FeatureMap | None = None,
        only: Candidates | None = None,  # noqa: ARG002
    ) -> FeatureMap:
        """Convolves the whole map; see :class:`yolo_max.model.backend.Conv2d`."""
        if self.depthwise:
            y = depthwise(materialise(x), self.weight, self.stride, self.padding) + self.bias
        else:
            y = ops.conv2d(
                materialise(x),
                self.weight,
                stride=(self.stride, self.stride),
                padding=(self.padding,) * 4,
                bias=self.bias,
            )
        y = self.activate(y)
        if residual is not None:
            y = y + materialise(residual)
        return FeatureMap.of(y)


class StockConvTranspose2d(Module):
    """A transposed convolution of size and stride ``s``, as a product for each of its taps."""

    def __init__(self, c1: int, c2: int, s: int, device: DeviceRef) -> None:
        super().__init__()
        self.weight = Weight("weight", DType.float32, [s, s, c1, c2], device)
        self.bias = Weight("bias", DType.float32, [c2], device)

    def __call__(
        self,
        x: FeatureMap,
        residual: FeatureMap | None = None,
        only: Candidates | None = None,  # noqa: ARG002
    ) -> FeatureMap:
        """``[B, H, W, c1] -> [B, s * H, s * W, c2]``."""
        assert residual is None, "a transposed convolution does not add anything"
        tensor = materialise(x)
        batch, height, width, c1 = tensor.shape
        s, _, _, c2 = map(int, self.weight.shape)
        pixels = ops.reshape(tensor, [batch * height * width, c1])
        taps = [ops.matmul(pixels, self.weight[i, j]) + self.bias for i in range(s) for j in range(s)]
        y = ops.reshape(ops.concat(taps, axis=1), [batch, height, width, s, s, c2])
        y = ops.permute(y, [0, 1, 3, 2, 4, 5])
        return FeatureMap.of(ops.reshape(y, [batch, height * s, width * s, c2]))


class StockBackend:
    """The blocks on MAX's own operations, on any device (see ``backend.py``)."""

    extensions: tuple[Path, ...] = ()
    inputs: tuple[TensorType, ...] = ()
    activation = Activation.SILU

    def __init__(self, device: DeviceRef) -> None:
        self.device = device

    def image(self, pixels: TensorValue) -> FeatureMap:
        """Casts and scales the pixels as the PyTorch engine does: ``float(x) / 255``."""
        return FeatureMap.of(ops.cast(pixels, DType.float32) / 255.0)

    def values(self, x: FeatureMap) -> FeatureMap:
        """They are values already."""
        return x

    def normalise(self, x: FeatureMap, mean: Sequence[float], std: Sequence[float]) -> FeatureMap:
        """See :func:`normalise`."""
        return normalise(x, mean, std)

    def conv2d(
        self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Activation
    ) -> Conv2d:
        """A convolution on this device."""
        return StockConv2d(c1, c2, k, s, p, depthwise=depthwise, activation=activation, device=self.device)

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Conv2d:
        """A transposed convolution on this device."""
        return StockConvTranspose2d(c1, c2, s, self.device)

    def add(self, x: FeatureMap, y: FeatureMap) -> FeatureMap:
        """See :func:`add`."""
        return add(x, y)

    def max_pool(self, x: FeatureMap, k: int, s: int = 1, p: int | None = None) -> FeatureMap:
        """``ops.max_pool2d`` pools NHWC, and pads with minus infinity as PyTorch does."""
        padding = k // 2 if p is None else p
        return FeatureMap.of(ops.max_pool2d(materialise(x), (k, k), stride=s, padding=padding))

    def zero_pad(self, x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
        """See :func:`zero_pad`."""
        return zero_pad(x, left, right, top, bottom)

    def average_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """``ops.avg_pool2d`` pools NHWC too."""
        return FeatureMap.of(ops.avg_pool2d(materialise(x), (k, k), stride=1))

    def mean(self, x: FeatureMap) -> FeatureMap:
        """See :func:`mean`."""
        return mean(x)

    def attention(self, qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
        """See :func:`attention`."""
        return attention(qkv, heads, keys, values, areas)

    def candidates(self, classes: Prediction) -> None:  # noqa: ARG002
        """None: MAX's operations compute whole maps."""
        return

    def predict(self, levels: Sequence[Level]) -> TensorValue:
        """One row per cell: the predictions side by side."""
        rows = []
        for level in levels:
            y = ops.concat([materialise(each.conv(each.features)) for each in level.predictions], axis=3)
            batch, height, width, channels = y.shape
            rows.append(ops.reshape(y, [batch, height * width, channels]))
        return ops.concat(rows, axis=1)

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The view as a tensor."""
        return materialise(x)
