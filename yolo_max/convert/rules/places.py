"""What reads or writes at places: sorting, gathering, scattering, borders."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops
from torch import fx

from yolo_max.convert.program import Program, arguments, shape_of, tensor_of
from yolo_max.convert.rule import FLOAT, Call, Layout, Rule, device

aten = torch.ops.aten
WITH_PLACES = FLOAT | {torch.int64}


def _sort(_call: Call, x: TensorValue, dim: int = -1, descending: bool = False) -> tuple[TensorValue, ...]:
    dim %= x.rank
    return _ordered(x, int(x.shape[dim]), dim, descending)


def _topk(
    _call: Call, x: TensorValue, k: int, dim: int = -1, largest: bool = True, _sorted: bool = True
) -> tuple[TensorValue, ...]:
    return _ordered(x, k, dim % x.rank, largest)


def _ordered(x: TensorValue, k: int, dim: int, largest: bool) -> tuple[TensorValue, ...]:
    """The k largest or smallest numbers along a dimension, and their places; sorted."""
    last = x.rank - 1
    rows = x if dim == last else ops.transpose(x, dim, last)
    parts = ops.top_k(rows, k, last) if largest else ops.bottom_k(rows, k, last)
    return tuple(part if dim == last else ops.transpose(part, dim, last) for part in parts)


def _flat_places(index: TensorValue, shape: list[int], dim: int) -> TensorValue:
    """Places in a flattened tensor, of places along one of its dimensions."""
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    sizes = [int(size) for size in index.shape]
    others = np.zeros(sizes, np.int64)
    for axis, size in enumerate(sizes):
        if axis != dim:
            steps = np.arange(size, dtype=np.int64) * strides[axis]
            others = others + steps.reshape([-1 if each == axis else 1 for each in range(len(sizes))])
    return index * strides[dim] + ops.constant(others, DType.int64, device())


def _gather(call: Call, x: TensorValue, dim: int, index: TensorValue, **_: Any) -> TensorValue:
    if x.rank == 0:  # a number has one place
        return ops.broadcast_to(x, call.shape)
    shape = [int(size) for size in x.shape]
    return ops.gather(ops.reshape(x, [-1]), _flat_places(index, shape, dim % x.rank), 0)


def _scatter(function: Any, _call: Call, x: TensorValue, dim: int, index: TensorValue, src: Any) -> Any:
    if isinstance(src, TensorValue):
        updates = src[tuple(slice(0, int(size)) for size in index.shape)]
    else:
        updates = ops.broadcast_to(ops.constant(src, x.dtype, device()), index.shape)
    return function(x, updates, index, axis=dim % x.rank)


REDUCTIONS = {
    "sum": ops.scatter_add,
    "prod": ops.scatter_mul,
    "amax": ops.scatter_max,
    "amin": ops.scatter_min,
}


def _scatter_reduce(
    call: Call,
    x: TensorValue,
    dim: int,
    index: TensorValue,
    src: TensorValue,
    reduce: str,
    **_: Any,
) -> TensorValue:
    result: TensorValue = _scatter(REDUCTIONS[reduce], call, x, dim, index, src)
    return result


def _slice_scatter(
    _call: Call,
    x: TensorValue,
    src: TensorValue,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    _step: int = 1,
) -> TensorValue:
    dim %= x.rank
    first, last, _ = slice(start, end).indices(int(x.shape[dim]))
    everything = [slice(None)] * x.rank
    before, behind = list(everything), list(everything)
    before[dim], behind[dim] = slice(0, first), slice(last, None)
    parts = [x[tuple(before)]] if first else []
    parts += [src] if last > first else []
    parts += [x[tuple(behind)]] if last < int(x.shape[dim]) else []
    return ops.concat(parts, axis=dim)


def _select_scatter(call: Call, x: TensorValue, src: TensorValue, dim: int, index: int) -> TensorValue:
    place = index % int(x.shape[dim])
    return _slice_scatter(call, x, ops.unsqueeze(src, dim % x.rank), dim, place, place + 1)


def _diagonal(call: Call, x: TensorValue, _offset: int = 0, _dim1: int = 0, _dim2: int = 1) -> TensorValue:
    """Places follow from what PyTorch does with the places themselves."""
    shape = [int(size) for size in x.shape]
    places = torch.arange(int(np.prod(shape))).reshape(shape)
    taken = places.diagonal(*call.node.args[1:])
    index = ops.constant(np.ascontiguousarray(taken.numpy()), DType.int64, device())
    return ops.gather(ops.reshape(x, [-1]), index, 0)


def _border(reflects: bool, call: Call, x: TensorValue, pads: Any) -> TensorValue:
    """Dimension by dimension from the last: mirrored at the outermost elements, or these repeated."""
    del call
    for number, (before, behind) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        axis = x.rank - 1 - number
        parts = [_edge(x, axis, before, reflects, first=True)] if before else []
        parts.append(x)
        parts += [_edge(x, axis, behind, reflects, first=False)] if behind else []
        x = ops.concat(parts, axis=axis)
    return x


def _edge(x: TensorValue, axis: int, count: int, reflects: bool, *, first: bool) -> TensorValue:
    place = [slice(None)] * x.rank
    if reflects:
        place[axis] = slice(1, count + 1) if first else slice(-count - 1, -1)
        order = np.arange(count - 1, -1, -1)
    else:
        place[axis] = slice(0, 1) if first else slice(-1, None)
        order = np.zeros(count, np.int64)
    return ops.gather(x[tuple(place)], ops.constant(order.astype(np.int64), DType.int64, device()), axis)


def static_sizes(node: fx.Node, _program: Program) -> str | None:
    """Why an operation is refused whose inputs have symbolic sizes; ``Rule.refuses``."""
    for each in node.all_input_nodes:
        if tensor_of(each) is not None and not all(isinstance(size, int) for size in shape_of(each)):
            return "its sizes are not static"
    return None


def _static_dim(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if not isinstance(given.get("k", 0), int):
        return "the number of places is not static"
    size = shape_of(node.args[0])[given["dim"]] if shape_of(node.args[0]) else None
    return None if isinstance(size, int) else "its dimension is not static"


def _scatter_refusal(node: fx.Node, program: Program) -> str | None:
    given = arguments(node)
    if given.get("reduce", "sum") not in REDUCTIONS or not given.get("include_self", True):
        return f"it reduces by {given['reduce']}, or leaves out what is there"
    return static_sizes(node, program)


def _slice_refusal(node: fx.Node, program: Program) -> str | None:
    if arguments(node).get("step", 1) != 1:
        return "it writes at every second place, or fewer"
    return static_sizes(node, program)


def _pads_refusal(node: fx.Node, _program: Program) -> str | None:
    pads: Any = node.args[1]
    if any(not isinstance(each, int) or each < 0 for each in pads):
        return "it cuts off, or its padding is not static"
    return None


RULES = [
    Rule(aten.sort.default, _sort, dtypes=WITH_PLACES, refuses=_static_dim),
    Rule(aten.topk.default, _topk, dtypes=WITH_PLACES, refuses=_static_dim),
    Rule(aten.gather.default, _gather, dtypes=WITH_PLACES, refuses=static_sizes),
    Rule(aten.scatter.src, partial(_scatter, ops.scatter), dtypes=WITH_PLACES, refuses=_scatter_refusal),
    Rule(aten.scatter.value, partial(_scatter, ops.scatter), dtypes=WITH_PLACES, refuses=_scatter_refusal),
    Rule(
        aten.scatter_add.default,
        partial(_scatter, ops.scatter_add),
        dtypes=WITH_PLACES,
        refuses=_scatter_refusal,
    ),
    Rule(aten.scatter_reduce.two, _scatter_reduce, dtypes=WITH_PLACES, refuses=_scatter_refusal),
    Rule(aten.slice_scatter.default, _slice_scatter, dtypes=WITH_PLACES, refuses=_slice_refusal),
    Rule(aten.select_scatter.default, _select_scatter, dtypes=WITH_PLACES, refuses=static_sizes),
    Rule(aten.diagonal.default, _diagonal, dtypes=WITH_PLACES, refuses=static_sizes),
    *(
        Rule(operation, partial(_border, reflects), layout=Layout.ROWS, refuses=_pads_refusal)
        for operation, reflects in {
            aten.reflection_pad1d.default: True,
            aten.reflection_pad2d.default: True,
            aten.reflection_pad3d.default: True,
            aten.replication_pad2d.default: False,
            aten.replication_pad3d.default: False,
        }.items()
    ),
]
