"""Tensors put together by the Mojo kernels, for any MAX graph on a CPU.

MAX's own concatenation takes many times as long along any axis but the first. What a graph needs is said in
``kernels/call.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add, mul

from max.graph import Dim, StaticDim, TensorValue, ops

from yolo_max.kernels.call import DTYPES, Map, copied, copy_views, view_of
from yolo_max.kernels.feature_map import FeatureMap, concat


def rows(maps: Sequence[Map]) -> TensorValue:
    """The pixels of maps of any sizes, one map after the other: ``[B, H * W + ..., C]``."""
    views = [view_of(each) for each in maps]
    batch = views[0].size[0]
    pixels = reduce(add, (height * width for _, height, width in (each.size for each in views)))
    if len(views) == 1:
        return ops.reshape(copied(views[0]), [batch, pixels, views[0].channels])
    return copy_views(views, [batch, pixels])


def joined(parts: Sequence[TensorValue], axis: int) -> TensorValue | None:
    """Concatenates tensors.

    Args:
        parts: Of one dtype and rank.
        axis: Not negative.

    Returns:
        One tensor; None if the kernels do not copy these: they read float32 and bfloat16, of static sizes
        behind the axis.
    """
    shape, sizes = parts[0].shape, [part.shape[axis] for part in parts]
    behind = shape[axis + 1 :]
    if parts[0].dtype not in DTYPES.values() or not _static(behind):
        return None
    outer, inner = reduce(mul, shape[:axis], Dim(1)), prod(map(int, behind))
    if _static(sizes):  # one pixel for each of the outer ones
        lengths = [int(size) * inner for size in sizes]
        pixels = [
            FeatureMap.of(ops.reshape(part, [outer, 1, 1, length]))
            for part, length in zip(parts, lengths, strict=True)
            if length
        ]
        made = copy_views([concat(pixels)], [outer, 1])
    else:
        maps = [ops.reshape(part, [outer, size, 1, inner]) for part, size in zip(parts, sizes, strict=True)]
        made = rows(maps)
    return ops.reshape(made, [*shape[:axis], reduce(add, sizes), *behind])


def _static(sizes: Sequence[Dim]) -> bool:
    return all(isinstance(size, StaticDim) for size in sizes)
