"""Sums, means and extremes over dimensions, on MAX's operations; the mean of a map is a pool."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops
from torch import fx

from yolo_max.convert.program import Program, arguments, rank, shape_of
from yolo_max.convert.rule import FLOAT, Call, Layout, Rule, materialise
from yolo_max.convert.rules.exponentials import power
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.pools import adaptive_average_pool

aten = torch.ops.aten
WITH_PLACES = FLOAT | {torch.int64}


def _axes(x: TensorValue, dims: int | Sequence[int] | None) -> list[int]:
    chosen = [dims] if isinstance(dims, int) else dims or range(x.rank)
    return sorted(dim % x.rank for dim in chosen)


def _reduce(
    function: Callable[..., TensorValue],
    call: Call,
    x: TensorValue,
    dims: Any = None,
    _keep: bool = False,
    **_: Any,
) -> TensorValue:
    for axis in _axes(x, dims):
        x = function(x, axis=axis)
    return ops.reshape(x, call.shape)


def mean_of_rows(call: Call, x: TensorValue, dims: Any = None, keep: bool = False, **_: Any) -> TensorValue:
    """The mean over some dimensions, in PyTorch's order."""
    return _reduce(ops.mean, call, x, dims, keep)


def _mean(call: Call, x: Any, dims: Any = None, keep: bool = False, **_: Any) -> Any:
    if not isinstance(x, FeatureMap):
        return mean_of_rows(call, x, dims, keep)
    pooled = adaptive_average_pool(x, 1)
    return pooled if keep else ops.reshape(materialise(pooled), call.shape)


def _mean_layout(node: fx.Node) -> Layout:
    """The mean of all pixels is of maps."""
    if node.target is aten.mean.dim and rank(node.args[0]) == 4:
        dims = arguments(node)["dim"] or range(4)
        if sorted(dim % 4 for dim in dims) == [2, 3]:
            return Layout.FOLLOWS
    return Layout.ROWS


def _variance(x: TensorValue, dims: Any, correction: float) -> tuple[TensorValue, TensorValue]:
    """Variance and mean, with reduced dimensions of 1."""
    axes, mean = _axes(x, dims), x
    count = Dim(1)
    for axis in axes:
        mean, count = ops.mean(mean, axis=axis), count * x.shape[axis]
    centred = x - mean
    squares = centred * centred
    for axis in axes:
        squares = ops.sum(squares, axis=axis)
    return squares / float(int(count) - correction), mean


def _var(
    call: Call, x: TensorValue, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> TensorValue:
    del keepdim
    return ops.reshape(_variance(x, dims, 1 if correction is None else correction)[0], call.shape)


def _var_of_dims(
    call: Call, x: TensorValue, dims: Any = None, unbiased: bool = True, keepdim: bool = False
) -> TensorValue:
    return _var(call, x, dims, correction=int(unbiased), keepdim=keepdim)


def _var_mean(
    call: Call, x: TensorValue, dims: Any = None, *, correction: Any = 1, keepdim: bool = False
) -> tuple[TensorValue, ...]:
    reduced = set(_axes(x, dims))
    shape = [
        Dim(1) if axis in reduced else size
        for axis, size in enumerate(x.shape)
        if keepdim or axis not in reduced
    ]
    del call
    return tuple(
        ops.reshape(each, shape) for each in _variance(x, dims, 1 if correction is None else correction)
    )


def _without_dimensions(node: fx.Node, _program: Program) -> str | None:
    if rank(node.args[0]) == 0 and arguments(node).get("dim") not in (None, []):
        return "a number has no dimension to reduce"
    return None


def _static_dims(node: fx.Node, program: Program) -> str | None:
    if (reason := _without_dimensions(node, program)) is not None:
        return reason
    shape, dims = shape_of(node.args[0]), arguments(node)["dim"] or range(rank(node.args[0]))
    return None if all(isinstance(shape[dim], int) for dim in dims) else "its dimensions are not static"


def _extreme(
    function: Callable[..., TensorValue],
    index: Callable[..., TensorValue],
    call: Call,
    x: TensorValue,
    dim: int,
    keep: bool = False,
) -> tuple[TensorValue, TensorValue]:
    del call
    dim %= x.rank
    shape = [Dim(1) if i == dim else size for i, size in enumerate(x.shape) if keep or i != dim]
    return ops.reshape(function(x, axis=dim), shape), ops.reshape(index(x, axis=dim), shape)


def _index(
    function: Callable[..., TensorValue],
    call: Call,
    x: TensorValue,
    dim: int | None = None,
    _keep: bool = False,
) -> TensorValue:
    flat = x if dim is not None else ops.reshape(x, [-1])
    return ops.reshape(function(flat, axis=dim or 0), call.shape)


def _vector_norm(
    call: Call, x: TensorValue, ord: float = 2, dims: Any = None, _keep: bool = False, **_: Any
) -> TensorValue:
    size = ops.abs(x)
    if math.isinf(ord):
        return _reduce(ops.max if ord > 0 else ops.min, call, size, dims)
    if ord == 0:
        return _reduce(ops.sum, call, ops.cast(ops.greater(size, 0.0), size.dtype), dims)
    if ord == 1:
        return _reduce(ops.sum, call, size, dims)
    if ord == 2:
        return ops.sqrt(_reduce(ops.sum, call, size * size, dims))
    return power(_reduce(ops.sum, call, power(size, float(ord)), dims), 1 / ord)


def _any(call: Call, x: TensorValue, dims: Any = None, _keep: bool = False) -> TensorValue:
    flags = ops.cast(x, DType.float32)
    largest = _reduce(ops.max, call, ops.abs(flags), dims)
    return ops.greater(largest, 0.0)


def _cumsum(_call: Call, x: TensorValue, dim: int, **_: Any) -> TensorValue:
    return ops.cumsum(x, axis=dim % x.rank)


RULES = [
    Rule(
        aten.mean.dim, _mean, "average_pool over a map, else MAX", _mean_layout, refuses=_without_dimensions
    ),
    Rule(aten.mean.default, _mean),
    *(
        Rule(operation, partial(_reduce, function), refuses=_without_dimensions)
        for operation, function in {
            aten.sum.dim_IntList: ops.sum,
            aten.sum.default: ops.sum,
            aten.amax.default: ops.max,
            aten.amin.default: ops.min,
            aten.max.default: ops.max,
            aten.min.default: ops.min,
        }.items()
    ),
    Rule(aten.var.correction, _var, refuses=_static_dims),
    Rule(aten.var.dim, _var_of_dims, refuses=_static_dims),
    Rule(aten.var_mean.correction, _var_mean, refuses=_static_dims),
    Rule(
        aten.max.dim, partial(_extreme, ops.max, ops.argmax), dtypes=WITH_PLACES, refuses=_without_dimensions
    ),
    Rule(
        aten.min.dim, partial(_extreme, ops.min, ops.argmin), dtypes=WITH_PLACES, refuses=_without_dimensions
    ),
    Rule(aten.argmax.default, partial(_index, ops.argmax), dtypes=WITH_PLACES, refuses=_without_dimensions),
    Rule(aten.argmin.default, partial(_index, ops.argmin), dtypes=WITH_PLACES, refuses=_without_dimensions),
    Rule(aten.linalg_vector_norm.default, _vector_norm, refuses=_without_dimensions),
    Rule(aten.cumsum.default, _cumsum, refuses=_without_dimensions),
    Rule(aten.prod.default, partial(_reduce, ops.prod)),
    Rule(aten.prod.dim_int, partial(_reduce, ops.prod), refuses=_without_dimensions),
    *(
        Rule(operation, _any, dtypes=FLOAT | {torch.bool}, refuses=_without_dimensions)
        for operation in (aten.any.default, aten.any.dim, aten.any.dims)
    ),
]
