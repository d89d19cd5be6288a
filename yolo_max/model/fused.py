"""The port on this project's own Mojo kernels (``yolo_max/kernels``), for CPUs.

A convolution is one operation: it gathers its input from the slices of a view, and adds bias, SiLU and
residual before anything is stored. Batch, height and width may be symbolic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Dim, Graph, TensorType, TensorValue, TensorValueLike, Weight, ops

from yolo_max.kernels.conv_kernel import Algorithm
from yolo_max.kernels.feature_map import ChannelSlice, FeatureMap
from yolo_max.kernels.packing import filled, packed_size
from yolo_max.kernels.precision import Precision
from yolo_max.model.backend import Candidates, Conv2d, Level, Prediction
from yolo_max.model.max_nn import Module
from yolo_max.model.stock import materialise

_CPU = DeviceRef.CPU()
RUN_INPUTS = (TensorType(DType.int64, [1], _CPU), TensorType(DType.float32, [1], _CPU))
"""What a graph is given behind the pixels: how many threads may work on this run, and the class logit that a
candidate exceeds (minus infinity: every cell is a candidate)."""

_PLACES = {Algorithm.DIRECT: 0, Algorithm.WINOGRAD: 1, Algorithm.POLYPHASE: 2, Algorithm.STEM: 3}
_STEM_OF_FLOATS, _MAX_POOL, _CANDIDATES, _HEAD, _COUNT = 4, 5, 6, 7, 8
"""Places in the table of kernels: ``kernels/table.mojo``."""
_PAIRED = (Algorithm.STEM, Algorithm.DIRECT)
"""Those whose weights are pairs of bfloat16 where activations are; the others transform in float32."""
_ACTIVATIONS = {Precision.F32: DType.float32, Precision.BF16: DType.bfloat16}


class FusedConv2d(Module):
    """Convolution, bias, SiLU and residual as one operation; see :class:`yolo_max.model.backend.Conv2d`."""

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

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """``[B, H, W, c1] -> [B, ceil(H / s), ceil(W / s), c2]``, with padding ``k // 2``."""
        x = self._readable(x)
        added = [] if residual is None else [_one_slice(residual)]
        marks = [] if only is None else [_one_slice(only.marks)]
        place = _PLACES[self.algorithm]
        if self.algorithm is Algorithm.STEM and x.dtype != DType.uint8:
            place = _STEM_OF_FLOATS
        batch, height, width = x.size
        y = _run(
            self.precision,
            [place, self.k, self.s, int(self.act), len(added), 0 if only is None else only.rings + 1],
            [*x.slices, *added, *marks],
            self.weight,
            self.bias,
            TensorType(
                _ACTIVATIONS[self.precision],
                [batch, self._outputs(height), self._outputs(width), self.c2],
                _CPU,
            ),
        )
        return FeatureMap.of(y)

    def _outputs(self, size: Dim) -> Dim:
        return (size + 2 * (self.k // 2) - self.k) // self.s + 1

    def _readable(self, x: FeatureMap) -> FeatureMap:
        """The map as the kernel takes it: in its type, and whole for the one that reads the image itself."""
        if self.algorithm is Algorithm.STEM:
            x = x if len(x.slices) == 1 and x.slices[0].whole else FeatureMap.of(materialise(x))
            if x.dtype == DType.uint8:
                return x
        elif x.dtype == DType.uint8:
            x = FeatureMap.of(ops.cast(materialise(x), DType.float32) / 255.0)
        if x.dtype != _ACTIVATIONS[self.precision]:
            x = FeatureMap.of(ops.cast(materialise(x), _ACTIVATIONS[self.precision]))
        return x


def max_pool(x: FeatureMap, k: int, precision: Precision) -> FeatureMap:
    """Max-pools ``k`` x ``k`` windows with stride 1, padding ``k // 2`` of minus infinity."""
    part = _one_slice(x)
    batch, height, width, _ = part.tensor.shape
    none = ops.constant(np.zeros(1, np.float32), DType.float32, _CPU)
    result = TensorType(x.dtype, [batch, height, width, part.channels], _CPU)
    return FeatureMap.of(_run(precision, [_MAX_POOL, k], [part], none, none, result))


def candidates(classes: Prediction, precision: Precision) -> Candidates:
    """Marks the cells of a level that have a class logit above what the run asks for."""
    conv = cast(FusedConv2d, classes.conv)
    marks = TensorType(_ACTIVATIONS[precision], [*classes.features.size, 1], _CPU)
    part = _one_slice(classes.features)
    return Candidates(
        FeatureMap.of(_run(precision, [_CANDIDATES, conv.c2], [part], conv.weight, conv.bias, marks))
    )


def detect_head(levels: Sequence[Level], precision: Precision) -> TensorValue:
    """The head's last convolutions, each into its columns of one tensor.

    Returns:
        float32 ``[B, A, 4 * reg_max + nc]``: A is the cells of the levels, level after level, each row-major.
        What a cell that is no candidate has there is what was in memory.
    """
    convs = [cast(FusedConv2d, part.conv) for level in levels for part in (level.box, level.classes)]
    parts = []
    for level in levels:
        assert level.candidates is not None, "this backend marks the candidates of every level"
        maps = (level.box.features, level.classes.features, level.candidates.marks)
        parts += [_one_slice(x) for x in maps]
    sizes = [level.box.features.size for level in levels]
    cells = sum((height * width for _, height, width in sizes[1:]), sizes[0][1] * sizes[0][2])
    columns = convs[0].c2 + convs[1].c2
    return _run(
        precision,
        [_HEAD, *(conv.c2 for conv in convs)],
        parts,
        _join([conv.weight for conv in convs]),
        _join([conv.bias for conv in convs]),
        TensorType(DType.float32, [sizes[0][0], cells, columns], _CPU),
    )


class FusedBackend:
    """The blocks on the Mojo kernels (see ``backend.py``)."""

    inputs: tuple[TensorType, ...] = RUN_INPUTS

    def __init__(self, precision: Precision, kernels: Path) -> None:
        """For activations of ``precision``; ``kernels``: ``yolo_max/kernels``, as a package or a folder."""
        self.precision = precision
        self.extensions: tuple[Path, ...] = (kernels,)

    def image(self, pixels: TensorValue) -> FeatureMap:
        """The pixels as they are: the first convolution reads bytes, and scales them as it does."""
        return FeatureMap.of(pixels)

    def conv2d(self, c1: int, c2: int, k: int, s: int, *, act: bool) -> Conv2d:
        """A convolution in this precision."""
        return FusedConv2d(c1, c2, k, s, act=act, precision=self.precision)

    def max_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """See :func:`max_pool`."""
        return max_pool(x, k, self.precision)

    def candidates(self, classes: Prediction) -> Candidates:
        """See :func:`candidates`."""
        return candidates(classes, self.precision)

    def raw_head(self, levels: Sequence[Level]) -> TensorValue:
        """See :func:`detect_head`."""
        return detect_head(levels, self.precision)

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The view, materialised, as float32."""
        return ops.cast(materialise(x), DType.float32)


def _one_slice(x: FeatureMap) -> ChannelSlice:
    """The map as one slice that is not doubled: the view itself, or a copy of it."""
    if len(x.slices) == 1 and not x.slices[0].doubled:
        return x.slices[0]
    return FeatureMap.of(materialise(x)).slices[0]


def _run(
    precision: Precision,
    facts: Sequence[int],
    parts: Sequence[ChannelSlice],
    weight: TensorValueLike,
    bias: TensorValueLike,
    result: TensorType,
) -> TensorValue:
    """Runs a kernel.

    Args:
        precision: Of the activations.
        facts: The kernel's place in the table, then what it wants to know; after that it is told the first
            channel, the number of channels, and whether it is doubled, of each slice.
        parts: What it reads.
        weight: Packed weights.
        bias: Biases.
        result: What it writes.
    """
    slices = [number for part in parts for number in (part.start, part.channels, int(part.doubled))]
    geometry = ops.constant(np.array([*facts, *slices], np.int32), DType.int32, _CPU)
    tensors = [_kernels(precision), geometry, weight, bias, *(part.tensor for part in parts)]
    return ops.custom("yolo_run", _CPU, tensors, [result])[0].tensor


_tables: WeakKeyDictionary[Graph, TensorValue] = WeakKeyDictionary()


def _kernels(precision: Precision) -> TensorValue:
    """The table of kernels of the graph that is being traced; one to a graph, which has one precision.

    Behind the addresses stands what the run is given: its number of threads, its least logit.
    """
    graph = Graph.current
    if graph not in _tables:
        _, *given = graph.inputs
        table = TensorType(DType.int64, [_COUNT + len(given)], _CPU)
        bf16 = int(precision is Precision.BF16)
        _tables[graph] = ops.custom("yolo_kernels", _CPU, given, [table], {"bf16": bf16})[0].tensor
    return _tables[graph]


def _join(parts: Sequence[Weight]) -> TensorValue:
    """Arrays one behind the other."""
    size = sum(int(part.shape[0]) for part in parts)
    joined = TensorType(parts[0].dtype, [size], _CPU)
    return ops.custom("yolo_join", _CPU, list(parts), [joined])[0].tensor
