"""Trigonometry, remainders and predicates, of MAX's operations.

Formulas of inverse functions are those that lose nothing near 0, 1 and infinity; the arc tangent is Cephes'
atanf (Moshier, 1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from yolo_max.convert.rule import ANY, FLOAT, NUMBERS, Call, Layout, Rule, device
from yolo_max.convert.rules.elementwise import add, binary, divide, follows, on_tensors, promoted
from yolo_max.convert.rules.exponentials import exp, power

aten = torch.ops.aten
BOOL = frozenset({torch.bool})


def _zero(x: TensorValue) -> TensorValue:
    return ops.constant(0, x.dtype, device())


def _sign(x: TensorValue) -> TensorValue:
    above, below = ops.greater(x, _zero(x)), ops.greater(_zero(x), x)
    return ops.cast(above, x.dtype) - ops.cast(below, x.dtype)


def _with_sign_of(x: TensorValue, size: TensorValue) -> TensorValue:
    return ops.where(ops.greater(_zero(x), x), -size, size)


def _arctan_of_positive(x: TensorValue) -> TensorValue:
    """Reduced to at most tan(pi / 8), then a polynomial."""
    large, middle = ops.greater(x, math.tan(3 * math.pi / 8)), ops.greater(x, math.tan(math.pi / 8))
    inverse = -1.0 / ops.max(x, 1.0)
    reduced = ops.where(large, inverse, ops.where(middle, (x - 1.0) / (x + 1.0), x))
    begin = ops.where(large, ops.constant(math.pi / 2, x.dtype, device()), _zero(x))
    begin = ops.where(ops.logical_xor(large, middle), ops.constant(math.pi / 4, x.dtype, device()), begin)
    square = reduced * reduced
    y = 8.05374449538e-2 * square - 1.38776856032e-1
    y = y * square + 1.99777106478e-1
    y = y * square - 3.33329491539e-1
    return begin + (y * square * reduced + reduced)


def _arctan(x: TensorValue) -> TensorValue:
    return _with_sign_of(x, _arctan_of_positive(ops.abs(x)))


def _arctan2(y: TensorValue, x: TensorValue) -> TensorValue:
    """The angle of (x, y), of the quotient of the smaller by the larger."""
    height, width = ops.abs(y), ops.abs(x)
    larger = ops.max(height, width)
    quotient = ops.min(height, width) / ops.where(ops.equal(larger, _zero(larger)), 1.0, larger)
    angle = _arctan_of_positive(quotient)
    angle = ops.where(ops.greater(height, width), math.pi / 2 - angle, angle)
    angle = ops.where(ops.greater(_zero(x), x), math.pi - angle, angle)
    return _with_sign_of(y, angle)


def _arcsin(x: TensorValue) -> TensorValue:
    return _arctan2(x, ops.sqrt((1.0 - x) * (1.0 + x)))


def _arccos(x: TensorValue) -> TensorValue:
    return 2.0 * _arctan2(ops.sqrt(1.0 - x), ops.sqrt(1.0 + x))


def _sinh_near_0(x: TensorValue) -> TensorValue:
    """The series, up to 1."""
    square = x * x
    series = 1 / 362880 * square + 1 / 5040
    series = (series * square + 1 / 120) * square + 1 / 6
    return series * square * x + x


def _sinh(x: TensorValue) -> TensorValue:
    """The series where the exponentials would cancel."""
    return ops.where(ops.greater(1.0, ops.abs(x)), _sinh_near_0(x), 0.5 * (exp(x) - exp(-x)))


def _expm1(x: TensorValue) -> TensorValue:
    """``2 * exp(x / 2) * sinh(x / 2)`` where 1 would cancel."""
    half = 0.5 * x
    near = 2.0 * exp(half) * _sinh_near_0(half)
    return ops.where(ops.greater(1.0, ops.abs(x)), near, exp(x) - 1.0)


def _arcsinh(x: TensorValue) -> TensorValue:
    size = ops.abs(x)
    return _with_sign_of(x, ops.log1p(size + size * size / (1.0 + ops.sqrt(size * size + 1.0))))


def _arctanh(x: TensorValue) -> TensorValue:
    return 0.5 * (ops.log1p(x) - ops.log1p(-x))


def _truncated(x: Any, y: Any) -> tuple[TensorValue, TensorValue]:
    """``fmod(x, y)``, of a quotient in float64, which is not rounded to the next integer; and y."""
    x, y = promoted(x, y)
    dividend, divisor = ops.cast(x, DType.float64), ops.cast(y, DType.float64)
    quotient = ops.trunc(dividend / divisor)
    if not x.dtype.is_float():
        return x - ops.cast(quotient, x.dtype) * y, y
    return ops.cast(dividend - quotient * divisor, x.dtype), y


def _fmod(x: Any, y: Any) -> TensorValue:
    return _truncated(x, y)[0]


def _remainder(x: Any, y: Any) -> TensorValue:
    rest, y = _truncated(x, y)
    other_side = ops.greater(_zero(rest), _sign(rest) * _sign(y))
    return ops.where(other_side, rest + y, rest)


def _power_of_number(x: Any, y: TensorValue) -> TensorValue:
    return power(*promoted(float(x), y))


def _copy(_call: Call, x: Any, *_: Any, **__: Any) -> Any:
    return x


OF_FLOATS: dict[Any, Callable[..., Any]] = {
    aten.tan.default: lambda x: ops.sin(x) / ops.cos(x),
    aten.expm1.default: _expm1,
    aten.sinh.default: _sinh,
    aten.cosh.default: lambda x: 0.5 * (exp(x) + exp(-x)),
    aten.asin.default: _arcsin,
    aten.acos.default: _arccos,
    aten.atan.default: _arctan,
    aten.atan2.default: _arctan2,
    aten.asinh.default: _arcsinh,
    aten.acosh.default: lambda x: ops.log(x + ops.sqrt((x - 1.0) * (x + 1.0))),
    aten.atanh.default: _arctanh,
    aten.div.Scalar: divide,
    aten.div.Scalar_mode: divide,
    aten.pow.Scalar: _power_of_number,
}
APPROXIMATED = {
    aten.expm1.default,
    aten.sinh.default,
    aten.asin.default,
    aten.acos.default,
    aten.atan.default,
    aten.atan2.default,
}
"""Those of polynomials that are as exact as float32."""
OF_NUMBERS: dict[Any, Callable[..., Any]] = {
    aten.add.Scalar: add,
    aten.sub.Scalar: lambda x, y, alpha=1: add(x, y, alpha, sign=-1),
    aten.mul.Scalar: lambda x, y: ops.mul(*promoted(x, y)),
    aten.sign.default: _sign,
    aten.fmod.Tensor: _fmod,
    aten.fmod.Scalar: _fmod,
    aten.remainder.Tensor: _remainder,
    aten.remainder.Scalar: _remainder,
}
PREDICATES = {aten.isnan.default: ops.is_nan, aten.isinf.default: ops.is_inf}
OF_FLAGS: dict[Any, Callable[..., Any]] = {
    operation: function
    for name, function in {
        "bitwise_and": ops.logical_and,
        "bitwise_or": ops.logical_or,
        "bitwise_xor": ops.logical_xor,
    }.items()
    for operation in (getattr(aten, name).Tensor, getattr(aten, name).Scalar)
}

RULES = [
    *(follows(operation, on_tensors(function), FLOAT) for operation, function in OF_FLOATS.items()),
    *(follows(operation, on_tensors(function), NUMBERS) for operation, function in OF_NUMBERS.items()),
    *(follows(operation, on_tensors(function), FLOAT | BOOL) for operation, function in PREDICATES.items()),
    *(follows(operation, binary(function), BOOL) for operation, function in OF_FLAGS.items()),
    follows(aten.bitwise_not.default, on_tensors(ops.logical_not), BOOL),
    *(
        Rule(operation, _copy, "nothing: it is removed", Layout.FOLLOWS, ANY)
        for operation in (aten.alias.default, aten.clone.default)
    ),
]
