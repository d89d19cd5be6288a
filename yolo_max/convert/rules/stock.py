"""What the kernels do not compute, float64 and anything on a GPU, on MAX's operations.

Convolutions are sums of products of matrices, one for each place of a window, and pools are sums and maxima
of slices: MAX's own convolutions and pools, which are wrong at some borders, are used here no more than
elsewhere. It is slow, and as exact as the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from itertools import product
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.activations import PLAIN
from yolo_max.convert.program import Program, arguments, shape_of, static_shape
from yolo_max.convert.rule import Call, Layout, Rule, Rules, device, materialise
from yolo_max.convert.rules import functions, maps, products
from yolo_max.convert.rules.elementwise import OF_FLOATS, leaky
from yolo_max.convert.rules.exponentials import softmax
from yolo_max.convert.rules.reductions import mean_of_rows
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.window import Pair

aten = torch.ops.aten
ACTIVATIONS: dict[Activation, Callable[[TensorValue], TensorValue]] = {
    **{activation: OF_FLOATS[operation] for operation, activation in PLAIN.items()},
    Activation.NONE: lambda x: x,
    Activation.GELU: OF_FLOATS[aten.gelu.default],
    Activation.GELU_TANH: partial(OF_FLOATS[aten.gelu.default], approximate="tanh"),
}


def _activate(x: TensorValue, activation: Activation, slope: float, slopes: Any) -> TensorValue:
    if activation is Activation.LEAKY_RELU:
        return leaky(x, slope)
    if activation is Activation.PRELU:
        return leaky(x, _vector(slopes))
    return ACTIVATIONS[activation](x)


def _vector(x: FeatureMap) -> TensorValue:
    """One number for each channel; a vector broadcasts along the width of PyTorch's order."""
    tensor = materialise(x)
    return ops.reshape(tensor, [tensor.shape[2]])


def _windows(
    x: TensorValue, size: Pair, k: Pair, stride: Pair, dilation: Pair, begin: Pair, value: float
) -> Iterator[tuple[Pair, TensorValue]]:
    """Each place of a window, and the pixels there of all windows: ``[B, *size, C]``."""
    ends = [(n - 1) * s + (each - 1) * d + 1 for n, s, each, d in zip(size, stride, k, dilation, strict=True)]
    sides = []
    for end, before, length in zip(ends, begin, x.shape[1:3], strict=True):
        sides += [before, max(0, end - before - int(length))]
    padded = ops.pad(x, [0, 0, *sides, 0, 0], value=ops.constant(value, x.dtype, device()))
    for place in product(range(k[0]), range(k[1])):
        rows, columns = (
            slice(at * d, at * d + (n - 1) * s + 1, s)
            for at, d, n, s in zip(place, dilation, size, stride, strict=True)
        )
        yield place, padded[:, rows, columns, :]


def _conv2d(
    call: Call,
    x: FeatureMap,
    weight: FeatureMap,
    bias: FeatureMap | None,
    stride: Pair,
    padding: tuple[int, int, int, int],
    dilation: Pair,
    groups: int,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    slopes: FeatureMap | None = None,
    residual: FeatureMap | None = None,
    residual_first: bool = False,
) -> FeatureMap:
    k = static_shape(call.node.args[1])[2:]
    filters, size = materialise(weight), _size(call)
    parts = [
        _times(pixels, filters[:, row, column, :], groups)
        for (row, column), pixels in _windows(
            materialise(x), size, (k[0], k[1]), stride, dilation, (padding[0], padding[1]), 0.0
        )
    ]
    y = reduce(ops.add, parts)
    y = y if bias is None else y + _vector(bias)
    if residual is not None and residual_first:
        y = y + materialise(residual)
    y = _activate(y, activation, slope, slopes)
    return FeatureMap.of(y if residual is None or residual_first else y + materialise(residual))


def _size(call: Call) -> Pair:
    return int(call.shape[2]), int(call.shape[3])


def _times(x: TensorValue, weight: TensorValue, groups: int) -> TensorValue:
    """``[B, H, W, c1]`` by ``[c2, c1 / groups]``."""
    c2, each = (int(size) for size in weight.shape)
    if each == 1 and groups == c2:
        return x * ops.reshape(weight, [c2])
    inputs = ops.split(x, [each] * groups, axis=3)
    weights = ops.split(weight, [c2 // groups] * groups, axis=0)
    parts = [_rows_times(part, ops.transpose(w, 0, 1)) for part, w in zip(inputs, weights, strict=True)]
    return parts[0] if groups == 1 else ops.concat(parts, axis=3)


def _rows_times(x: TensorValue, weight: TensorValue) -> TensorValue:
    """``[..., c1]`` by ``[c1, c2]``, of rows."""
    rows = ops.reshape(x, [reduce(lambda a, b: a * b, x.shape[:-1]), x.shape[-1]])
    return ops.reshape(ops.matmul(rows, weight), [*x.shape[:-1], weight.shape[1]])


def _linear(
    _call: Call,
    x: TensorValue,
    weight: TensorValue,
    bias: TensorValue | None,
    activation: Activation = Activation.NONE,
    residual: TensorValue | None = None,
) -> TensorValue:
    y = _rows_times(x, ops.transpose(weight, 0, 1))
    y = ACTIVATIONS[activation](y if bias is None else y + bias)
    return y if residual is None else y + residual


def _matmul(_call: Call, a: TensorValue, b: TensorValue) -> TensorValue:
    return ops.matmul(a, b)


def _addmm(
    _call: Call, bias: TensorValue, a: TensorValue, b: TensorValue, *, beta: float = 1, alpha: float = 1
) -> TensorValue:
    return ops.matmul(a, b) * float(alpha) + bias * float(beta)


def _attention(
    _call: Call, q: TensorValue, k: TensorValue, v: TensorValue, bias: TensorValue | None, scale: float
) -> TensorValue:
    scores = ops.matmul(q, ops.transpose(k, -1, -2)) * scale
    return ops.matmul(softmax(scores if bias is None else scores + bias), v)


def _plain_attention(
    call: Call,
    q: TensorValue,
    k: TensorValue,
    v: TensorValue,
    *_: Any,
    scale: float | None = None,
    **__: Any,
) -> TensorValue:
    return _attention(call, q, k, v, None, int(q.shape[-1]) ** -0.5 if scale is None else scale)


def _softmax(call: Call, x: TensorValue, dim: int, _dtype: Any = None) -> TensorValue:
    return products.on_last(call, x, dim, softmax)


def _max_pool2d(
    call: Call, x: FeatureMap, k: Any, s: Any = (), p: Any = 0, dilation: Any = 1, _ceil: bool = False
) -> FeatureMap:
    window, stride = maps.two(k), maps.two(s or k)
    taken = _windows(materialise(x), _size(call), window, stride, maps.two(dilation), maps.two(p), -math.inf)
    return FeatureMap.of(reduce(ops.max, (pixels for _, pixels in taken)))


def _avg_pool2d(call: Call, x: FeatureMap, k: Any, s: Any = (), p: Any = 0, *how: Any) -> FeatureMap:
    window, stride, begin = maps.two(k), maps.two(s or k), maps.two(p)
    tensor = materialise(x)
    taken = _windows(tensor, _size(call), window, stride, (1, 1), begin, 0.0)
    ones = torch.ones(1, 1, *(int(side) for side in tensor.shape[1:3]), dtype=torch.float64)
    pool = torch.nn.functional.avg_pool2d
    inside = pool(ones, window, stride, begin, how[0] if how else False, divisor_override=1)
    shares = (pool(ones, window, stride, begin, *how) / inside)[0, 0, :, :, None]
    factor = ops.cast(ops.constant(shares.numpy(), DType.float64, device()), tensor.dtype)
    return FeatureMap.of(reduce(ops.add, (pixels for _, pixels in taken)) * factor)


def _adaptive_avg_pool2d(call: Call, x: FeatureMap, _size: Any) -> FeatureMap:
    tensor = materialise(x)
    for axis, count in ((1, int(call.shape[2])), (2, int(call.shape[3]))):
        length = int(tensor.shape[axis])
        parts = []
        for place in range(count):
            begin, end = place * length // count, -(-(place + 1) * length // count)
            everything = [slice(None)] * 4
            everything[axis] = slice(begin, end)
            parts.append(ops.mean(tensor[tuple(everything)], axis=axis))
        tensor = parts[0] if count == 1 else ops.concat(parts, axis=axis)
    return FeatureMap.of(tensor)


def _static_sides(node: fx.Node, _program: Program) -> str | None:
    if all(isinstance(side, int) for side in shape_of(node.args[0])[2:]):
        return None
    return "beside the kernels, the sides of a map are static"


def _without_mask(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if given["attn_mask"] is not None or given["is_causal"]:
        return "beside the kernels, attention has no mask"
    return None


def _rows_of_maps(_call: Call, maps: Any) -> TensorValue:
    tensors = [materialise(each) for each in maps]
    flat = [ops.reshape(x, [x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]) for x in tensors]
    return ops.concat(flat, axis=1)


def kernels_only(_node: fx.Node, _program: Program) -> str:
    """Why an operation is not computed beside the kernels."""
    return "it is computed in float32 on the CPU alone"


LOWERED: dict[Any, tuple[Callable[..., Any], Callable[[fx.Node, Program], str | None] | None]] = {
    fused.conv2d: (_conv2d, _static_sides),
    fused.linear: (_linear, None),
    fused.attention: (_attention, None),
    aten.matmul.default: (_matmul, None),
    aten.mm.default: (_matmul, None),
    aten.bmm.default: (_matmul, None),
    aten.addmm.default: (_addmm, None),
    aten.baddbmm.default: (_addmm, None),
    aten.scaled_dot_product_attention.default: (_plain_attention, _without_mask),
    aten.softmax.int: (_softmax, None),
    aten.max_pool2d.default: (_max_pool2d, _static_sides),
    aten.avg_pool2d.default: (_avg_pool2d, _static_sides),
    aten.adaptive_avg_pool2d.default: (_adaptive_avg_pool2d, _static_sides),
    aten.mean.dim: (mean_of_rows, None),
    fused.rows_of_maps: (_rows_of_maps, None),
}
"""How an operation of the kernels is lowered beside them, and what more it refuses."""
KERNELS_ONLY = {
    fused.conv_transpose2d,
    fused.embedding_bag,
    aten.conv_transpose2d.input,
    aten.upsample_nearest2d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten.upsample_bilinear2d.vec,
}


def on_stock_operations(rules: Rules, dtype: torch.dtype) -> Rules:
    """Rules that use no kernel.

    Args:
        rules: Those that come with the package.
        dtype: What they are to compute in.
    """
    return Rules(_on_stock_operations(rule, dtype) for rule in rules)


def _on_stock_operations(rule: Rule, dtype: torch.dtype) -> Rule:
    dtypes = rule.dtypes | {dtype} if torch.float32 in rule.dtypes else rule.dtypes
    if rule.operation in LOWERED:
        lower, refuses = LOWERED[rule.operation]

        def both(node: fx.Node, program: Program) -> str | None:
            return rule.refuses(node, program) or (refuses(node, program) if refuses else None)

        layout = Layout.ROWS if rule.operation is aten.mean.dim else rule.layout
        return replace(rule, lower=lower, on="MAX", layout=layout, dtypes=dtypes, refuses=both, packs=None)
    if rule.operation in KERNELS_ONLY:
        return replace(rule, dtypes=dtypes, refuses=kernels_only)
    if rule.operation in functions.APPROXIMATED and dtype is torch.float64:
        return rule
    return replace(rule, dtypes=dtypes)
