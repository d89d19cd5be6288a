"""The port on this project's own Mojo kernels (``yolo_max/kernels``), for CPUs.

A convolution is one operation: it gathers its input from the slices of a view, and adds bias, SiLU and
residual before anything is stored. Batch, height and width may be symbolic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Dim, TensorType, TensorValue, Weight, ops
from max.nn.layer import Module

from yolo_max.algorithm import Algorithm
from yolo_max.nn.backend import Conv2d, Level
from yolo_max.nn.feature_map import ChannelSlice, FeatureMap
from yolo_max.nn.stock import materialise
from yolo_max.packing import filled, packed_size
from yolo_max.precision import Precision

KERNELS = Path(__file__).resolve().parent.parent / "kernels"
"""The folder of Mojo sources to give to ``Graph(custom_extensions=[...])``."""

_CPU = DeviceRef.CPU()
_PAIRED = (Algorithm.STEM, Algorithm.DIRECT)
"""Those whose weights are pairs of bfloat16 where activations are; the others transform in float32."""
_ACTIVATIONS = {Precision.F32: DType.float32, Precision.BF16: DType.bfloat16}


class FusedConv2d(Module):
    """Convolution, bias, SiLU and residual as one operation; see :class:`yolo_max.nn.backend.Conv2d`."""

    def __init__(
        self,
        c1: int,
        c2: int,
        k: int,
        s: int,
        *,
        act: bool,
        precision: Precision,
        algorithm: Algorithm | None = None,
    ) -> None:
        """Chooses the kernel by shape, unless ``algorithm`` names one that can do it."""
        super().__init__()
        self.c1, self.c2, self.k, self.s = c1, c2, k, s
        self.act = act
        self.precision = precision
        self.algorithm = algorithm or Algorithm.choose(c1, k, s, precision)
        words = DType.uint32 if precision is Precision.BF16 and self.algorithm in _PAIRED else DType.float32
        size = packed_size(c1, c2, k, self.algorithm, precision)
        self.weight = Weight("weight", words, [size], _CPU)
        self.bias = Weight("bias", DType.float32, [filled(c2)], _CPU)

    def __call__(self, x: FeatureMap, residual: FeatureMap | None = None) -> FeatureMap:
        """``[B, H, W, c1] -> [B, ceil(H / s), ceil(W / s), c2]``, with padding ``k // 2``."""
        x = self._readable(x)
        added = [] if residual is None else [_one_slice(residual)]
        batch, height, width = x.size
        geometry = [self.k, self.s, int(self.act), len(added)]
        y = ops.custom(
            self.algorithm,
            _CPU,
            [
                self.weight,
                self.bias,
                _geometry(geometry, [*x.slices, *added]),
                *(part.tensor for part in (*x.slices, *added)),
            ],
            [
                TensorType(
                    _ACTIVATIONS[self.precision],
                    [batch, self._outputs(height), self._outputs(width), self.c2],
                    _CPU,
                )
            ],
        )[0].tensor
        return FeatureMap.of(y)

    def _outputs(self, size: Dim) -> Dim:
        return (size + 2 * (self.k // 2) - self.k) // self.s + 1

    def _readable(self, x: FeatureMap) -> FeatureMap:
        """The map as the kernel takes it: in its type, and whole for the one that reads the image itself."""
        if self.algorithm is Algorithm.STEM:
            return x if len(x.slices) == 1 and x.slices[0].whole else FeatureMap.of(materialise(x))
        if x.dtype == DType.uint8:
            x = FeatureMap.of(ops.cast(materialise(x), DType.float32) / 255.0)
        if x.dtype != _ACTIVATIONS[self.precision]:
            x = FeatureMap.of(ops.cast(materialise(x), _ACTIVATIONS[self.precision]))
        return x


def max_pool(x: FeatureMap, k: int = 5) -> FeatureMap:
    """Max-pools ``k`` x ``k`` windows with stride 1, padding ``k // 2`` of minus infinity."""
    part = _one_slice(x)
    batch, height, width, _ = part.tensor.shape
    y = ops.custom(
        "yolo_max_pool",
        _CPU,
        [_geometry([k], [part]), part.tensor],
        [TensorType(x.dtype, [batch, height, width, part.channels], _CPU)],
    )[0].tensor
    return FeatureMap.of(y)


def detect_head(levels: Sequence[Level]) -> TensorValue:
    """The head's last convolutions, each into its columns of one tensor.

    Returns:
        float32 ``[B, A, 4 * reg_max + nc]``: A is the cells of the levels, level after level, each row-major.
    """
    predictions = [prediction for level in levels for prediction in level]
    parts = [_one_slice(prediction.features) for prediction in predictions]
    convs = [cast(FusedConv2d, prediction.conv) for prediction in predictions]
    sizes = [level.box.features.size for level in levels]
    cells = sum((height * width for _, height, width in sizes[1:]), sizes[0][1] * sizes[0][2])
    columns = convs[0].c2 + convs[1].c2
    return ops.custom(
        "yolo_head",
        _CPU,
        [
            # An operation takes one list of tensors of any length; that is the maps.
            ops.concat([conv.weight for conv in convs]),
            ops.concat([conv.bias for conv in convs]),
            _geometry([conv.c2 for conv in convs], parts),
            *(part.tensor for part in parts),
        ],
        [TensorType(DType.float32, [sizes[0][0], cells, columns], _CPU)],
    )[0].tensor


class FusedBackend:
    """The blocks on the Mojo kernels (see ``backend.py``)."""

    extensions: tuple[Path, ...] = (KERNELS,)

    def __init__(self, precision: Precision) -> None:
        self.precision = precision

    def image(self, pixels: TensorValue) -> FeatureMap:
        """The pixels as they are: the first convolution reads bytes, and scales them as it does."""
        return FeatureMap.of(pixels)

    def conv2d(self, c1: int, c2: int, k: int, s: int, *, act: bool) -> Conv2d:
        """A convolution in this precision."""
        return FusedConv2d(c1, c2, k, s, act=act, precision=self.precision)

    def max_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """See :func:`max_pool`."""
        return max_pool(x, k)

    def raw_head(self, levels: Sequence[Level]) -> TensorValue:
        """See :func:`detect_head`."""
        return detect_head(levels)

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The view, materialised, as float32."""
        return ops.cast(materialise(x), DType.float32)


def _one_slice(x: FeatureMap) -> ChannelSlice:
    """The map as one slice that is not doubled: the view itself, or a copy of it."""
    if len(x.slices) == 1 and not x.slices[0].doubled:
        return x.slices[0]
    return FeatureMap.of(materialise(x)).slices[0]


def _geometry(facts: Sequence[int], slices: Sequence[ChannelSlice]) -> TensorValue:
    """What an operation is told besides tensors: ``facts``, then start, channels, doubled of each slice."""
    numbers = [*facts, *(n for part in slices for n in (part.start, part.channels, int(part.doubled)))]
    return ops.constant(np.array(numbers, np.int32), DType.int32, _CPU)
