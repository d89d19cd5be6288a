"""Tensors out of nothing but numbers and sizes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from yolo_max.convert.rule import ANY, Call, Rule, device
from yolo_max.convert.rules.elementwise import DTYPES, scalar_of, size_operands

aten = torch.ops.aten


def _dtype(call: Call) -> DType:
    return DTYPES[call.node.meta["val"].dtype]


def _full(value: Any, call: Call, *_: Any, **__: Any) -> TensorValue:
    return ops.broadcast_to(scalar_of(value, _dtype(call)), call.shape)


def _filled(call: Call, _like: Any, value: Any, *_: Any, **__: Any) -> TensorValue:
    return _full(value, call)


def _number(call: Call, value: Any, **_: Any) -> TensorValue:
    return scalar_of(value, _dtype(call))


def _copy(call: Call, _onto: TensorValue, x: TensorValue, _non_blocking: bool = False) -> TensorValue:
    return ops.broadcast_to(ops.cast(x, _dtype(call)), call.shape)


def _arange(call: Call, start: Any, _end: Any, step: Any = 1, **_: Any) -> TensorValue:
    """``start + i * step``, of floats in float64 as in PyTorch."""
    dtype = _dtype(call)
    exact = DType.float64 if dtype.is_float() else DType.int64
    (size,) = call.shape
    places = ops.range(0, scalar_of(size, DType.int64), 1, out_dim=size, dtype=DType.int64, device=device())
    numbers = ops.cast(places, exact) * scalar_of(step, exact) + scalar_of(start, exact)
    return ops.cast(numbers, dtype)


_rows = partial(Rule, dtypes=ANY)

RULES = [
    _rows(aten.full.default, _filled, refuses=size_operands),
    _rows(aten.full_like.default, _filled, refuses=size_operands),
    _rows(aten.fill.Scalar, _filled, refuses=size_operands),
    _rows(aten.scalar_tensor.default, _number, refuses=size_operands),
    _rows(aten.arange.start_step, _arange, refuses=size_operands),
    _rows(aten.copy.default, _copy),
    *(
        _rows(operation, partial(_full, value))
        for operation, value in {
            aten.zeros.default: 0,
            aten.zeros_like.default: 0,
            aten.ones.default: 1,
            aten.ones_like.default: 1,
            aten.empty.memory_format: 0,  # whatever is there is as good
            aten.empty_strided.default: 0,
        }.items()
    ),
]
