"""The backend on our Mojo kernels, for CPUs: ``kernels``, and ``model/detect`` for the head.

A convolution is one operation: it gathers its input from the slices of a view, and applies bias, activation
and residual before it stores anything. Batch, height and width may be symbolic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.call import CPU, DTYPES, copied, join, one_slice, run_kernel
from yolo_max.kernels.conv_kernel import TRANSPOSED, ConvKernel
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.kernel_table import KernelTable
from yolo_max.kernels.ops import conv2d, conv_transpose2d, conv_weights
from yolo_max.kernels.pools import average_pool, max_pool
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.products import Heads, attention
from yolo_max.model.backend import Candidates, Conv2d, Level, Prediction
from yolo_max.model.max_nn import Module
from yolo_max.model.stock import add, into_areas, mean, normalise, out_of_areas, zero_pad

RUN_INPUT = TensorType(DType.float32, [2], CPU)
"""The graph's input after the pixels: the number of threads for this run, and the class logit that a
candidate exceeds (minus infinity: every cell is a candidate)."""

DETECT = KernelTable("detect_table", 2)
CANDIDATES, HEAD = 0, 1
"""Indices in that table: ``model/detect/__init__.mojo``."""


class FusedConv2d(Module):
    """Convolution, bias, activation and residual as one operation; see ``backend.py``."""

    def __init__(
        self,
        c1: int,
        c2: int,
        k: int,
        s: int,
        p: int,
        *,
        groups: int,
        activation: Activation,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.c2, self.k, self.s, self.p, self.groups = c2, k, s, p, groups
        self.activation = activation
        self.precision = precision
        self.kernel = ConvKernel.choose(c1, k, s, precision, c2=c2, padding=p, groups=groups)
        self.weight, self.bias = conv_weights(self.kernel, c1, c2, k, precision, groups=groups)

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H', W', c2]``."""
        return conv2d(
            x,
            self.weight,
            self.bias,
            self.kernel,
            self.c2,
            self.k,
            self.s,
            padding=self.p,
            groups=self.groups,
            activation=self.activation,
            residual=residual,
            mask=only.mask if only else None,
            halo=only.halo if only else 0,
            divisor=255,
            precision=self.precision,
        )


class FusedConvTranspose2d(Module):
    """A transposed convolution of size and stride ``s``, and its bias."""

    def __init__(self, c1: int, c2: int, s: int, precision: Precision) -> None:
        super().__init__()
        self.c2, self.s = c2, s
        self.kernel = TRANSPOSED
        self.weight, self.bias = conv_weights(self.kernel, c1, c2, s, precision)

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """``[B, H, W, c1] -> [B, s * H, s * W, c2]``."""
        assert residual is None, "a transposed convolution does not add anything"
        assert only is None, "a transposed convolution computes the whole map"
        return conv_transpose2d(x, self.weight, self.bias, self.c2, self.s, self.s)


def candidates(classes: Prediction, precision: Precision) -> Candidates:
    """Finds the cells of a level with a class logit above the run's threshold."""
    conv = cast(FusedConv2d, classes.conv)
    mask = TensorType(DTYPES[precision], [*classes.features.size, 1], CPU)
    part = one_slice(classes.features)
    found = run_kernel(CANDIDATES, [conv.c2], [part], conv.weight, conv.bias, mask, precision, DETECT)
    return Candidates(FeatureMap.of(found))


def predict(levels: Sequence[Level], precision: Precision) -> TensorValue:
    """A head's last convolutions, each writing its columns of one tensor.

    Returns:
        float32 ``[B, A, c]``: A is the cells of the levels, level after level, each row-major. The rows of
        other cells than candidates are uninitialised memory.
    """
    convs = [cast(FusedConv2d, each.conv) for level in levels for each in level.predictions]
    parts = []
    for level in levels:
        assert level.candidates is not None, "this backend finds the candidates of every level"
        maps = [*(each.features for each in level.predictions), level.candidates.mask]
        parts += [one_slice(x) for x in maps]
    sizes = [level.predictions[0].features.size for level in levels]
    cells = sum((height * width for _, height, width in sizes[1:]), sizes[0][1] * sizes[0][2])
    first = convs[: len(convs) // len(levels)]
    columns = sum((conv.c2 for conv in first[1:]), first[0].c2)
    return run_kernel(
        HEAD,
        [len(levels), *(conv.c2 for conv in convs)],
        parts,
        join([conv.weight for conv in convs]),
        join([conv.bias for conv in convs]),
        TensorType(DType.float32, [sizes[0][0], cells, columns], CPU),
        precision,
        DETECT,
    )


class FusedBackend:
    """The blocks on the Mojo kernels (see ``backend.py``)."""

    inputs: tuple[TensorType, ...] = (RUN_INPUT,)
    activation = Activation.SILU

    def __init__(self, precision: Precision, kernels: Path) -> None:
        """For activations of ``precision``; ``kernels`` is our Mojo package, or its folder of sources."""
        self.precision = precision
        self.extensions: tuple[Path, ...] = (kernels,)

    def image(self, pixels: TensorValue) -> FeatureMap:
        """The pixels unchanged: the first convolution reads and scales bytes."""
        return FeatureMap.of(pixels)

    def values(self, x: FeatureMap) -> FeatureMap:
        """Casts and scales bytes."""
        if x.dtype != DType.uint8:
            return x
        return FeatureMap.of(ops.cast(copied(x), DType.float32) / 255.0)

    def normalise(self, x: FeatureMap, mean: Sequence[float], std: Sequence[float]) -> FeatureMap:
        """MAX's own: it runs once per network."""
        return normalise(self.values(x), mean, std)

    def conv2d(
        self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Activation
    ) -> Conv2d:
        """A convolution in this precision."""
        groups = c1 if depthwise else 1
        return FusedConv2d(c1, c2, k, s, p, groups=groups, activation=activation, precision=self.precision)

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Conv2d:
        """A transposed convolution in this precision."""
        return FusedConvTranspose2d(c1, c2, s, self.precision)

    def add(self, x: FeatureMap, y: FeatureMap) -> FeatureMap:
        """MAX's own."""
        return add(x, y)

    def max_pool(self, x: FeatureMap, k: int, s: int = 1, p: int | None = None) -> FeatureMap:
        """See :func:`yolo_max.kernels.pools.max_pool`."""
        return max_pool(x, k, s, p)

    def zero_pad(self, x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
        """MAX's own: it runs once per network, on a small map."""
        return zero_pad(x, left, right, top, bottom)

    def average_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """See :func:`yolo_max.kernels.pools.average_pool`."""
        return average_pool(x, k, 1)

    def mean(self, x: FeatureMap) -> FeatureMap:
        """MAX's own: it runs once per network, on a small map."""
        return mean(x)

    def attention(self, qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
        """See :func:`yolo_max.kernels.products.attention`; in float32 for all precisions."""
        tensor = copied(qkv)
        rows = into_areas(ops.cast(tensor, DType.float32), areas)
        width = 2 * keys + values  # of a head: query, key, value
        q, k, v = (
            Heads(rows, start, channels, width)
            for start, channels in ((0, keys), (keys, keys), (2 * keys, values))
        )
        y = out_of_areas(attention(q, k, v, heads), areas, qkv.size)
        return FeatureMap.of(ops.cast(y, tensor.dtype))

    def candidates(self, classes: Prediction) -> Candidates:
        """See :func:`candidates`."""
        return candidates(classes, self.precision)

    def predict(self, levels: Sequence[Level]) -> TensorValue:
        """See :func:`predict`."""
        return predict(levels, self.precision)

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The view as a float32 tensor."""
        return ops.cast(copied(self.values(x)), DType.float32)
