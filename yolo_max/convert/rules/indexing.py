"""Elements at places that tensors name, or that follow from sizes."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops
from torch import fx

from yolo_max.convert.program import Program, arguments, rank, shape_of, tensor_of
from yolo_max.convert.rule import ANY, FLOAT, Call, Rule, device
from yolo_max.convert.rules.elementwise import scalar_of, size_operands
from yolo_max.kernels.window import pair

aten = torch.ops.aten
INDICES = (torch.int64, torch.int32)


def _index_select(_call: Call, x: TensorValue, dim: int, index: TensorValue) -> TensorValue:
    return ops.gather(x, index, dim % x.rank) if x.rank else x  # a number has one place


class _Places:
    """Places of several dimensions, as places of one that these dimensions are merged into."""

    def __init__(self, x: TensorValue, indices: Any) -> None:
        self.axes = [axis for axis, each in enumerate(indices) if each is not None]
        given = [indices[axis] for axis in self.axes]
        self.order = [*self.axes, *(axis for axis in range(x.rank) if axis not in self.axes)]
        self.outer, self.inner = ([x.shape[axis] for axis in axes] for axes in self._parts())
        place = self._wrapped(given[0], self.outer[0])
        for each, size in zip(given[1:], self.outer[1:], strict=True):
            place = place * scalar_of(size, DType.int64) + self._wrapped(each, size)
        self.place = place
        # Behind what is not indexed if all indexed dimensions lie together, else in front.
        together = self.axes == list(range(self.axes[0], self.axes[-1] + 1))
        self.first = self.axes[0] if together else 0

    def _parts(self) -> tuple[list[int], list[int]]:
        count = len(self.axes)
        return self.order[:count], self.order[count:]

    @staticmethod
    def _wrapped(index: TensorValue, size: Dim) -> TensorValue:
        """Places counted from the end as from the begin."""
        index = ops.cast(index, DType.int64)
        behind = ops.greater(ops.constant(0, DType.int64, device()), index)
        return ops.where(behind, index + scalar_of(size, DType.int64), index)

    def merged(self, x: TensorValue) -> TensorValue:
        """The tensor, with its indexed dimensions merged into its first one."""
        moved = x if self.order == sorted(self.order) else ops.permute(x, self.order)
        return ops.reshape(moved, [reduce(lambda a, b: a * b, self.outer), *self.inner])

    def divided(self, merged: TensorValue) -> TensorValue:
        """The way back."""
        moved = ops.reshape(merged, [*self.outer, *self.inner])
        return moved if self.order == sorted(self.order) else ops.permute(moved, list(np.argsort(self.order)))

    def moved(self, rank: int) -> list[int]:
        """Dimensions of what is taken, places in front, in PyTorch's order."""
        places = list(range(self.place.rank))
        others = list(range(self.place.rank, rank))
        return [*others[: self.first], *places, *others[self.first :]]


def _index(_call: Call, x: TensorValue, indices: Any) -> TensorValue:
    places = _Places(x, indices)
    taken = ops.gather(places.merged(x), places.place, 0)
    order = places.moved(taken.rank)
    return taken if order == sorted(order) else ops.permute(taken, order)


def _index_put(
    call: Call, x: TensorValue, indices: Any, values: TensorValue, accumulate: bool = False
) -> TensorValue:
    given = [each for each in indices if each is not None]
    if given[0].dtype == DType.bool:
        mask = ops.reshape(given[0], [*given[0].shape, *[1] * (x.rank - given[0].rank)])
        value = ops.reshape(values, [])
        return ops.where(ops.broadcast_to(mask, call.shape), x + value if accumulate else value, x)
    places = _Places(x, indices)
    merged = places.merged(x)
    count = reduce(lambda a, b: a * b, places.place.shape, Dim(1))
    shape = [*places.place.shape, *merged.shape[1:]]  # of what is written, places in front
    order = places.moved(len(shape))
    values = ops.broadcast_to(values, [shape[axis] for axis in order])
    if order != sorted(order):
        values = ops.permute(values, list(np.argsort(order)))
    write = ops.scatter_nd_add if accumulate else ops.scatter_nd
    written = write(
        merged, ops.reshape(values, [count, *merged.shape[1:]]), ops.reshape(places.place, [count, 1])
    )
    return places.divided(written)


def _masked_scatter(call: Call, x: TensorValue, mask: TensorValue, source: TensorValue) -> TensorValue:
    """The n-th true place takes the n-th element of the source."""
    mask, x = (ops.broadcast_to(each, call.shape) for each in (mask, x))
    count = math.prod(int(size) for size in source.shape)
    flags = ops.cast(ops.reshape(mask, [-1]), DType.int64)
    place = ops.max(ops.cumsum(flags, axis=0) - 1, ops.constant(0, DType.int64, device()))
    place = ops.min(place, ops.constant(count - 1, DType.int64, device()))
    taken = ops.gather(ops.reshape(source, [count]), place, 0)
    return ops.where(mask, ops.reshape(taken, call.shape), x)


def _as_strided(
    _call: Call, x: TensorValue, size: Any, stride: Any, offset: int | None = None
) -> TensorValue:
    count = math.prod(int(each) for each in x.shape)
    places = torch.arange(count).as_strided(list(map(int, size)), stride, offset or 0)
    return _taken(ops.reshape(x, [count]), places.numpy(), 0)


def _taken(x: TensorValue, places: Any, axis: int) -> TensorValue:
    """Elements at constant places."""
    return ops.gather(x, ops.constant(np.ascontiguousarray(places, np.int64), DType.int64, device()), axis)


def _windows(size: Any, k: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """``[kh * kw, windows]``: the pixel of each place of each window; that behind the last one is padding."""
    pixels = torch.arange(math.prod(size), dtype=torch.float64).reshape(1, 1, *size) + 1
    found = torch.nn.functional.unfold(pixels, pair(k), pair(dilation), pair(padding), pair(stride))[0]
    return torch.where(found == 0, math.prod(size), found - 1).long().numpy()


def _with_zero(x: TensorValue) -> TensorValue:
    """Another element, 0, behind the last dimension."""
    return ops.pad(x, [0, 0] * (x.rank - 1) + [0, 1])


def _im2col(call: Call, x: TensorValue, k: Any, dilation: Any, padding: Any, stride: Any) -> TensorValue:
    batch, channels, *size = x.shape
    places = _windows([int(each) for each in size], k, dilation, padding, stride)
    pixels = ops.reshape(x, [batch, channels, math.prod(int(each) for each in size)])
    return ops.reshape(_taken(_with_zero(pixels), places, 2), call.shape)


def _col2im(
    call: Call, x: TensorValue, size: Any, k: Any, dilation: Any, padding: Any, stride: Any
) -> TensorValue:
    """Each pixel is the sum over the windows that it lies under."""
    pixel = _windows(size, k, dilation, padding, stride).reshape(-1)
    count = math.prod(size)
    found = [np.flatnonzero(pixel == each) for each in range(count)]
    most = max(len(each) for each in found)
    places = [np.pad(each, (0, most - len(each)), constant_values=len(pixel)) for each in found]
    batch = x.shape[0]
    flat = ops.reshape(x, [batch, int(x.shape[1]) * int(x.shape[2]) // len(pixel), len(pixel)])
    parts = _taken(_with_zero(flat), np.array(places).T, 2)
    return ops.reshape(ops.sum(parts, axis=2), call.shape)


def _index_refusal(node: fx.Node, program: Program) -> str | None:
    indices: Any = node.args[1]
    dtypes = {value.dtype for each in indices if (value := tensor_of(each)) is not None}
    if dtypes <= set(INDICES):
        return size_operands(node, program)
    if node.target is aten.index.Tensor:
        return "it takes places by a mask, so that its size depends on values"
    (mask, *more) = indices
    if more or mask is None or tensor_of(node.args[2]).numel() != 1:  # type: ignore[union-attr]
        return "it writes several values by a mask, or behind other dimensions"
    return None


def _static(node: fx.Node, _program: Program) -> str | None:
    shapes = [shape_of(each) for each in (node, *node.all_input_nodes)]
    batch = 1 if node.target in (aten.im2col.default, aten.col2im.default) else 0
    if any(not isinstance(size, int) for shape in shapes for size in shape[batch:]):
        return "its sizes are not static"
    return None


def _windows_refusal(node: fx.Node, program: Program) -> str | None:
    if rank(node.args[0]) != (4 if node.target is aten.im2col.default else 3):
        return "its input has no batch"
    return _static(node, program)


def _strides_refusal(node: fx.Node, program: Program) -> str | None:
    given = arguments(node)
    x = tensor_of(given["self"])
    if x is None or not x.is_contiguous() or any(isinstance(each, fx.Node) for each in node.args[1:]):
        return "it is of a view"
    return _static(node, program)


RULES = [
    Rule(aten.index_select.default, _index_select, dtypes=ANY),
    Rule(aten.index.Tensor, _index, dtypes=ANY, refuses=_index_refusal),
    Rule(aten.index_put.default, _index_put, dtypes=ANY, refuses=_index_refusal),
    Rule(aten.masked_scatter.default, _masked_scatter, dtypes=FLOAT | {torch.bool}, refuses=_static),
    Rule(aten.as_strided.default, _as_strided, refuses=_strides_refusal),
    Rule(aten.im2col.default, _im2col, refuses=_windows_refusal),
    Rule(aten.col2im.default, _col2im, refuses=_windows_refusal),
]
