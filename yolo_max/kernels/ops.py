"""Convolutions and pools on the Mojo kernels, for any MAX graph on a CPU.

Maps are NHWC, float32 or bfloat16, and may be plain tensors or views (:class:`FeatureMap`); batch, height and
width may be symbolic. A graph that calls these functions needs two things:

- ``custom_extensions=[precompile().result()]`` (``runtime/kernel_package.py``);
- as its last input the numbers of the run, float32 ``[n]``. The first is how many threads may take part; any
  others are for kernels of other packages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Dim, Graph, TensorType, TensorValue, TensorValueLike, Weight, ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import KERNELS, ConvKernel
from yolo_max.kernels.feature_map import ChannelSlice, FeatureMap, materialise
from yolo_max.kernels.packing import padded
from yolo_max.kernels.precision import Precision

CPU = DeviceRef.CPU()
DTYPES = {Precision.F32: DType.float32, Precision.BF16: DType.bfloat16}
"""Of activations."""
MAX_POOL = 4
"""Its place in ``kernels/table.mojo``."""

Map: TypeAlias = FeatureMap | TensorValue


class KernelTable(NamedTuple):
    """A table of kernels: the operation that makes it, and how many kernels it has."""

    operation: str
    size: int


CONVOLUTIONS_AND_POOLS = KernelTable("kernels_table", len(KERNELS) + 1)


def conv_weights(
    kernel: ConvKernel, c1: int, c2: int, k: int, precision: Precision, prefix: str = ""
) -> tuple[Weight, Weight]:
    """A convolution's weights in a graph, to be bound to what ``kernel.pack`` and ``pack_bias`` give.

    Returns:
        Filters, under the name ``<prefix>weight``, and biases, ``<prefix>bias``.
    """
    size = kernel.packed_size(c1, c2, k, precision)
    return (
        Weight(f"{prefix}weight", DType.from_numpy(np.dtype(kernel.weight_dtype(precision))), [size], CPU),
        Weight(f"{prefix}bias", DType.float32, [padded(c2)], CPU),
    )


def conv2d(
    x: Map,
    weight: TensorValueLike,
    bias: TensorValueLike,
    kernel: ConvKernel,
    c2: int,
    k: int,
    s: int = 1,
    *,
    activation: Activation = Activation.NONE,
    residual: Map | None = None,
    mask: Map | None = None,
    halo: int = 0,
    divisor: int = 1,
    precision: Precision | None = None,
) -> FeatureMap:
    """Convolves, adds the bias, applies the activation, then adds ``residual``: one operation.

    Args:
        x: ``[B, H, W, c1]``; uint8 as well, whose values are divided by ``divisor``.
        weight: Filters, packed for ``kernel``.
        bias: Packed biases.
        kernel: What computes it, such as ``ConvKernel.choose(c1, k, s, precision)``.
        c2: Output channels.
        k: Side of the filters; the padding is ``k // 2``, of zeros.
        s: Stride.
        activation: Behind the bias.
        residual: ``[B, ceil(H / s), ceil(W / s), c2]``.
        mask: ``[B, ceil(H / s), ceil(W / s), 1]``: 0 for outputs that nobody reads, which may be anything.
        halo: How many rings of tiles of 4 x 4 outputs around those in the mask are read as well.
        divisor: Of uint8 input.
        precision: Of the result; that of ``x`` by default, f32 for uint8.

    Returns:
        ``[B, ceil(H / s), ceil(W / s), c2]``.
    """
    x = _view(x)
    precision = precision or (Precision.F32 if x.dtype == DType.uint8 else _precision(x))
    x = _readable(x, kernel, divisor, precision)
    added = [] if residual is None else [one_slice(residual)]
    masks = [] if mask is None else [one_slice(mask)]
    batch, *sides = x.size
    divided = divisor if x.dtype == DType.uint8 else 0
    y = run_kernel(
        kernel.id,
        [k, s, activation, len(added), halo + 1 if masks else 0, divided],
        [*x.slices, *added, *masks],
        weight,
        bias,
        TensorType(DTYPES[precision], [batch, *(_outputs(side, k, s) for side in sides), c2], CPU),
        precision,
    )
    return FeatureMap.of(y)


def max_pool(x: Map, k: int) -> FeatureMap:
    """Max-pools ``k`` x ``k`` windows with stride 1, padding ``k // 2`` of minus infinity."""
    x = _view(x)
    part = one_slice(x)
    batch, height, width, _ = part.tensor.shape
    none = ops.constant(np.zeros(1, np.float32), DType.float32, CPU)
    result = TensorType(x.dtype, [batch, height, width, part.channels], CPU)
    return FeatureMap.of(run_kernel(MAX_POOL, [k], [part], none, none, result, _precision(x)))


def run_kernel(
    id: int,
    params: Sequence[int],
    parts: Sequence[ChannelSlice],
    weight: TensorValueLike,
    bias: TensorValueLike,
    result: TensorType,
    precision: Precision,
    table: KernelTable = CONVOLUTIONS_AND_POOLS,
) -> TensorValue:
    """Runs a kernel.

    Args:
        id: Its place in the table.
        params: What it wants to know; behind that it is told the first channel, the number of channels, and
            whether it is doubled, of each slice.
        parts: What it reads.
        weight: Packed weights.
        bias: Packed biases.
        result: What it writes.
        precision: Of what it reads.
        table: Where the kernel is.
    """
    slices = [number for part in parts for number in (part.start, part.channels, int(part.doubled))]
    numbers = ops.constant(np.array([id, *params, *slices], np.int32), DType.int32, CPU)
    run = Graph.current.inputs[-1].tensor
    tensors = [_addresses(table, precision), numbers, run, weight, bias, *(part.tensor for part in parts)]
    return ops.custom("kernels_run", CPU, tensors, [result])[0].tensor


def join(parts: Sequence[Weight]) -> TensorValue:
    """One-dimensional arrays, one behind the other."""
    size = sum(int(part.shape[0]) for part in parts)
    joined = TensorType(parts[0].dtype, [size], CPU)
    return ops.custom("kernels_join", CPU, list(parts), [joined])[0].tensor


def one_slice(x: Map) -> ChannelSlice:
    """The map as one slice that is not doubled: the view itself, or a copy of it."""
    x = _view(x)
    if len(x.slices) == 1 and not x.slices[0].doubled:
        return x.slices[0]
    return FeatureMap.of(materialise(x)).slices[0]


def _view(x: Map) -> FeatureMap:
    return x if isinstance(x, FeatureMap) else FeatureMap.of(x)


def _precision(x: FeatureMap) -> Precision:
    for precision, dtype in DTYPES.items():
        if x.dtype == dtype:
            return precision
    raise ValueError(f"The kernels read float32 and bfloat16, not {x.dtype.name}.")


def _readable(x: FeatureMap, kernel: ConvKernel, divisor: int, precision: Precision) -> FeatureMap:
    """The map as the kernel takes it: in its type, and whole for one that reads bytes."""
    if kernel.reads_bytes:
        x = x if len(x.slices) == 1 and x.slices[0].whole else FeatureMap.of(materialise(x))
        if x.dtype == DType.uint8:
            return x
    elif x.dtype == DType.uint8:
        x = FeatureMap.of(ops.cast(materialise(x), DType.float32) / float(divisor))
    if x.dtype != DTYPES[precision]:
        x = FeatureMap.of(ops.cast(materialise(x), DTYPES[precision]))
    return x


def _outputs(size: Dim, k: int, s: int) -> Dim:
    return (size + 2 * (k // 2) - k) // s + 1


_tables: WeakKeyDictionary[Graph, dict[tuple[KernelTable, Precision], TensorValue]] = WeakKeyDictionary()


def _addresses(table: KernelTable, precision: Precision) -> TensorValue:
    """A table of kernels, made once in the graph that is being traced."""
    made = _tables.setdefault(Graph.current, {})
    if (table, precision) not in made:
        addresses = TensorType(DType.int64, [table.size], CPU)
        bf16 = int(precision is Precision.BF16)
        made[table, precision] = ops.custom(table.operation, CPU, [], [addresses], {"bf16": bf16})[0].tensor
    return made[table, precision]
