"""Whatever works on each element, on MAX's operations: maps stay maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from max.dtype import DType
from max.graph import Dim, StaticDim, TensorValue, ops
from torch import fx

from yolo_max.convert.dims import size_refusal
from yolo_max.convert.program import Program, shape_of, tensor_of
from yolo_max.convert.rule import ANY, FLOAT, NUMBERS, Call, Layout, Rule, device, materialise
from yolo_max.convert.rules.exponentials import exp, power
from yolo_max.kernels.feature_map import FeatureMap

aten = torch.ops.aten
DTYPES = {
    torch.float32: DType.float32,
    torch.float64: DType.float64,
    torch.int64: DType.int64,
    torch.int32: DType.int32,
    torch.bool: DType.bool,
}


def on_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, also of maps, without the call."""

    def lower(_call: Call, *args: Any, **kwargs: Any) -> Any:
        return function(*map(_tensor, args), **{name: _tensor(value) for name, value in kwargs.items()})

    return lower


def _tensor(value: Any) -> Any:
    return materialise(value) if isinstance(value, FeatureMap) else value


def scalar_of(value: Any, dtype: DType) -> TensorValue:
    """A number, or a size, which is known when the graph runs, as a tensor without dimensions."""
    if not isinstance(value, Dim) or isinstance(value, StaticDim):
        return ops.constant(int(value) if isinstance(value, Dim) else value, dtype, device())
    return ops.cast(ops.reshape(ops.shape_to_tensor([value]), []), dtype)


def promoted(x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one dtype: PyTorch's promotion of tensors and Python's numbers, which sizes are."""
    if not isinstance(x, TensorValue):
        y, x = promoted(y, x)
        return x, y
    if isinstance(y, TensorValue):
        if x.dtype != y.dtype:
            both = _common(x, y)
            return ops.cast(x, both), ops.cast(y, both)
        return x, y
    dtype = DType.float32 if isinstance(y, float) and not x.dtype.is_float() else x.dtype
    dtype = DType.int64 if dtype == DType.bool and not isinstance(y, bool) else dtype
    return x if x.dtype == dtype else ops.cast(x, dtype), scalar_of(y, dtype)


def _common(x: TensorValue, y: TensorValue) -> DType:
    """The dtype of both: of integers, one without dimensions does not count."""
    dtypes = {x.dtype, y.dtype}
    for other in (DType.float64, DType.float32, DType.bool):
        if other in dtypes:
            return (dtypes - {other}).pop() if other == DType.bool else other
    counting = {each.dtype for each in (x, y) if each.rank}
    return counting.pop() if len(counting) == 1 else DType.int64


def binary(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of two operands of one dtype."""
    return on_tensors(lambda x, y: function(*promoted(x, y)))


def add(x: Any, y: Any, alpha: Any = 1, *, sign: int = 1) -> Any:
    """``x + sign * alpha * y``."""
    x, y = promoted(x, y)
    if sign * alpha == 1:
        return x + y
    if sign * alpha == -1:
        return x - y
    return x + y * scalar_of(sign * alpha, y.dtype)


def divide(x: Any, y: Any, *, rounding_mode: str | None = None) -> Any:
    """``x / y``, rounded; down from float64, in which no quotient reaches the integer above it."""
    x, y = promoted(x, y)
    if rounding_mode == "floor":
        exact = ops.div(ops.cast(x, DType.float64), ops.cast(y, DType.float64))
        return ops.cast(ops.floor(exact), x.dtype)
    quotient = ops.div(x, y)
    return quotient if rounding_mode is None else ops.trunc(quotient)


def _power(x: TensorValue, exponent: Any) -> TensorValue:
    if isinstance(exponent, int | float):
        special: dict[float, Callable[[TensorValue], TensorValue]] = {
            2: lambda x: x * x,
            3: lambda x: x * x * x,
            1: lambda x: x,
            0.5: ops.sqrt,
            -0.5: ops.rsqrt,
            -1: lambda x: 1.0 / x,
        }
        if exponent in special:
            return special[exponent](x)
        exponent = float(exponent)
    return power(*promoted(x, exponent))


def _clamp(x: TensorValue, low: Any = None, high: Any = None) -> TensorValue:
    x = x if low is None else ops.max(*promoted(x, low))
    return x if high is None else ops.min(*promoted(x, high))


def _gelu(x: TensorValue, *, approximate: str = "none") -> TensorValue:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1.0 + ops.tanh(inner))
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def _sigmoid(x: TensorValue) -> TensorValue:
    return 1.0 / (1.0 + exp(-x))


def _softplus(x: TensorValue, beta: float = 1, threshold: float = 20) -> TensorValue:
    scaled = x * float(beta)
    soft = ops.log1p(exp(ops.min(scaled, float(threshold)))) / float(beta)
    return ops.where(ops.greater(scaled, float(threshold)), x, soft)


def _elu(x: TensorValue, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> TensorValue:
    below = float(alpha) * (exp(ops.min(x, 0.0) * float(input_scale)) - 1.0)
    return float(scale) * ops.where(ops.greater(x, 0.0), x, below)


def leaky(x: TensorValue, slope: Any = 0.01) -> TensorValue:
    """The leaky ReLU; one slope, or those of the last dimension."""
    return ops.where(ops.greater(x, 0.0), x, x * slope)


def _prelu(call: Call, x: Any, slopes: Any) -> TensorValue:
    """Slopes are of the channels: the last dimension of maps, else the second."""
    tensor, factors = _tensor(x), _tensor(slopes)
    rank = tensor.rank
    axis = rank - 1 if call.maps else 1
    size = [factors.shape[-1] if i == axis else 1 for i in range(rank)]
    if call.maps:  # a vector broadcasts along the last dimension of PyTorch's order: the width
        size[axis] = shape_of(call.node.args[1])[0]
    return leaky(tensor, ops.reshape(factors, size))


def _hardtanh(x: TensorValue, low: float = -1.0, high: float = 1.0) -> TensorValue:
    return _clamp(x, low, high)


def _relu6(x: TensorValue) -> TensorValue:
    return _clamp(x, 0.0, 6.0)


def _hardsigmoid(x: TensorValue) -> TensorValue:
    return _relu6(x + 3.0) / 6.0


def _where(condition: Any, x: Any, y: Any) -> TensorValue:
    x, y = promoted(x, y)
    return ops.where(condition, x, y)


def _cast(call: Call, x: Any, *_: Any, **__: Any) -> TensorValue:
    return ops.cast(_tensor(x), DTYPES[call.node.meta["val"].dtype])


def size_operands(node: fx.Node, program: Program) -> str | None:
    """Why a size among the operands is not computed, or None; ``Rule.refuses`` of what takes numbers."""
    for each in node.all_input_nodes:
        if tensor_of(each) is not None or isinstance(each.meta.get("val"), tuple | list):
            continue
        if not isinstance(each.meta.get("val"), torch.SymInt):
            return "an operand is a size that is no integer"
        if (reason := size_refusal(each.meta["val"], program.symbols)) is not None:
            return reason
    return None


OF_FLOATS: dict[Any, Callable[..., Any]] = {
    aten.abs.default: ops.abs,
    aten.neg.default: ops.negate,
    aten.exp.default: exp,
    aten.log.default: ops.log,
    aten.log1p.default: ops.log1p,
    aten.log2.default: lambda x: ops.log(x) * (1 / math.log(2)),
    aten.log10.default: lambda x: ops.log(x) * (1 / math.log(10)),
    aten.sqrt.default: ops.sqrt,
    aten.rsqrt.default: ops.rsqrt,
    aten.reciprocal.default: lambda x: 1.0 / x,
    aten.sin.default: ops.sin,
    aten.cos.default: ops.cos,
    aten.erf.default: ops.erf,
    aten.tanh.default: ops.tanh,
    aten.sigmoid.default: _sigmoid,
    aten.relu.default: ops.relu,
    aten.relu6.default: _relu6,
    aten.hardtanh.default: _hardtanh,
    aten.leaky_relu.default: leaky,
    aten.elu.default: _elu,
    aten.gelu.default: _gelu,
    aten.silu.default: lambda x: x * _sigmoid(x),
    aten.mish.default: lambda x: x * ops.tanh(_softplus(x)),
    aten.softplus.default: _softplus,
    aten.hardsigmoid.default: _hardsigmoid,
    aten.hardswish.default: lambda x: x * _hardsigmoid(x),
    aten.floor.default: ops.floor,
    aten.ceil.default: ops.ceil,
    aten.round.default: ops.round,
    aten.trunc.default: ops.trunc,
    aten.pow.Tensor_Scalar: _power,
    aten.pow.Tensor_Tensor: lambda x, y: power(*promoted(x, y)),
    aten.div.Tensor: divide,
    aten.div.Tensor_mode: divide,
    aten.maximum.default: lambda x, y: ops.max(*promoted(x, y)),
    aten.minimum.default: lambda x, y: ops.min(*promoted(x, y)),
    aten.clamp.default: _clamp,
    aten.clamp.Tensor: _clamp,
}
"""Of floats."""

OF_NUMBERS: dict[Any, Callable[..., Any]] = {
    aten.add.Tensor: on_tensors(add),
    aten.sub.Tensor: on_tensors(lambda x, y, alpha=1: add(x, y, alpha, sign=-1)),
    aten.mul.Tensor: binary(ops.mul),
}
"""Of numbers, integers as well."""

COMPARISONS: dict[Any, Callable[..., Any]] = {
    operation: function
    for name, function in {
        "eq": ops.equal,
        "ne": ops.not_equal,
        "lt": lambda x, y: ops.greater(y, x),
        "le": lambda x, y: ops.greater_equal(y, x),
        "gt": ops.greater,
        "ge": ops.greater_equal,
    }.items()
    for operation in (getattr(aten, name).Tensor, getattr(aten, name).Scalar)
}

LOGICAL = {
    aten.logical_and.default: ops.logical_and,
    aten.logical_or.default: ops.logical_or,
    aten.logical_xor.default: ops.logical_xor,
    aten.logical_not.default: ops.logical_not,
}


def follows(operation: Any, lower: Callable[..., Any], dtypes: frozenset[torch.dtype]) -> Rule:
    """The rule of an operation that works on each element."""
    return Rule(operation, lower, layout=Layout.FOLLOWS, dtypes=dtypes, refuses=size_operands)


RULES = [
    *(follows(operation, on_tensors(function), FLOAT) for operation, function in OF_FLOATS.items()),
    *(follows(operation, lower, NUMBERS) for operation, lower in OF_NUMBERS.items()),
    *(
        follows(operation, binary(function), FLOAT | {torch.bool})
        for operation, function in COMPARISONS.items()
    ),
    *(
        follows(operation, on_tensors(function), frozenset({torch.bool}))
        for operation, function in LOGICAL.items()
    ),
    follows(aten.prelu.default, _prelu, FLOAT),
    follows(aten.where.self, on_tensors(_where), FLOAT | {torch.bool}),
    follows(aten._to_copy.default, _cast, ANY),
]
