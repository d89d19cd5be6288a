"""Calls of kernels in a MAX graph, and the maps that they are given.

A graph that calls kernels needs two things:

- ``custom_extensions=[precompile().result()]`` (``runtime/kernel_package.py``);
- as its last input the parameters of the run, float32 ``[n]``: the number of threads to use, then any that
  kernels of other packages need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Dim, Graph, TensorType, TensorValue, TensorValueLike, Weight, ops

from yolo_max.kernels.feature_map import ChannelSlice, FeatureMap
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, COPIES, KernelTable
from yolo_max.kernels.precision import Precision

CPU = DeviceRef.CPU()
DTYPES = {Precision.F32: DType.float32, Precision.BF16: DType.bfloat16}
"""Types of activations."""
COPY = 0
"""Its index in ``kernels/copies.mojo``."""

Map: TypeAlias = FeatureMap | TensorValue


def run_kernel(
    id: int,
    params: Sequence[int | Dim],
    parts: Sequence[ChannelSlice],
    weight: TensorValueLike | None,
    bias: TensorValueLike | None,
    result: TensorType,
    precision: Precision,
    table: KernelTable = CONVOLUTIONS_AND_POOLS,
) -> TensorValue:
    """Runs a kernel.

    Args:
        id: Its index in the table.
        params: Its parameters, which may be symbolic dimensions; first channel, number of channels and
            doubling of each slice are appended.
        parts: Its inputs.
        weight: Packed weights; None for a kernel without.
        bias: Packed biases, likewise.
        result: Type of its output.
        precision: Of its inputs.
        table: The kernel's table.
    """
    slices = [number for part in parts for number in (part.start, part.channels, int(part.doubled))]
    numbers = _numbers([id, *params, *slices])
    run = Graph.current.inputs[-1].tensor
    none = ops.constant(np.zeros(0, np.float32), DType.float32, CPU)
    constants = [none if each is None else each for each in (weight, bias)]
    tensors = [_addresses(table, precision), numbers, run, *constants, *(part.tensor for part in parts)]
    return ops.custom("kernels_run", CPU, tensors, [result])[0].tensor


def on_map(
    id: int,
    params: Sequence[int],
    x: Map,
    size: Sequence[int | Dim],
    table: KernelTable = CONVOLUTIONS_AND_POOLS,
) -> FeatureMap:
    """Runs a kernel without weights on one map; the result has this height and width."""
    part = one_slice(x)
    result = TensorType(part.tensor.dtype, [part.tensor.shape[0], *size, part.channels], CPU)
    return FeatureMap.of(run_kernel(id, params, [part], None, None, result, precision_of(x), table))


def join(parts: Sequence[Weight]) -> TensorValue:
    """Concatenates one-dimensional arrays."""
    size = sum((part.shape[0] for part in parts[1:]), parts[0].shape[0])
    joined = TensorType(parts[0].dtype, [size], CPU)
    return ops.custom("kernels_join", CPU, list(parts), [joined])[0].tensor


def _numbers(values: Sequence[int | Dim]) -> TensorValue:
    """They as int32; symbolic dimensions get their value when the graph runs."""
    if any(isinstance(value, Dim) for value in values):
        return ops.cast(ops.shape_to_tensor(values), DType.int32)
    return ops.constant(np.array(values, np.int32), DType.int32, CPU)


def one_slice(x: Map) -> ChannelSlice:
    """The map as one slice that is not doubled, copied if necessary."""
    x = view_of(x)
    if len(x.slices) == 1 and not x.slices[0].doubled:
        return x.slices[0]
    return FeatureMap.of(copied(x)).slices[0]


def copied(x: Map) -> TensorValue:
    """The map as one tensor; nothing is copied if it is one already."""
    x = view_of(x)
    if len(x.slices) == 1 and x.slices[0].whole:
        return x.slices[0].tensor
    return copy_views([x], x.size)


def copy_views(views: Sequence[FeatureMap], size: Sequence[int | Dim]) -> TensorValue:
    """Copies views of equally many channels into one tensor of this batch and size, and these channels.

    In each image it has their pixels, one view after the other.
    """
    parts = [part for view in views for part in view.slices]
    params = [len(views), *(len(view.slices) for view in views)]
    result = TensorType(views[0].dtype, [*size, views[0].channels], CPU)
    return run_kernel(COPY, params, parts, None, None, result, precision_of(views[0]), COPIES)


def view_of(x: Map) -> FeatureMap:
    """The map as a view."""
    return x if isinstance(x, FeatureMap) else FeatureMap.of(x)


def precision_of(x: Map) -> Precision:
    """The type of a map."""
    dtype = view_of(x).dtype
    for precision, known in DTYPES.items():
        if dtype == known:
            return precision
    raise ValueError(f"The kernels read float32 and bfloat16, not {dtype.name}.")


_tables: WeakKeyDictionary[Graph, dict[tuple[KernelTable, Precision], TensorValue]] = WeakKeyDictionary()


def _addresses(table: KernelTable, precision: Precision) -> TensorValue:
    """A table of kernels, created once in the graph being traced."""
    made = _tables.setdefault(Graph.current, {})
    if (table, precision) not in made:
        addresses = TensorType(DType.int64, [table.size], CPU)
        bf16 = int(precision is Precision.BF16)
        made[table, precision] = ops.custom(table.operation, CPU, [], [addresses], {"bf16": bf16})[0].tensor
    return made[table, precision]
