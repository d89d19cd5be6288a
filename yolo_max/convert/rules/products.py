"""Linear layers, products of matrices, attention, softmax, normalisation, embeddings."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.constants import Bound, LinearWeights
from yolo_max.convert.program import Program, arguments, rank, shape_of, static_shape
from yolo_max.convert.rule import FLOAT, Call, Layout, Rule, device, materialise, on_kernels
from yolo_max.convert.rules.exponentials import exp
from yolo_max.convert.rules.maps import becomes_another, bound_bias
from yolo_max.kernels import norms, packing, products
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.products import Heads

aten = torch.ops.aten
MOST_CHANNELS = 256
"""Of a head of the attention kernel."""


def _pack_linear(node: fx.Node, _program: Program) -> list[Bound]:
    weight: Any = node.args[1]
    c2, c1 = static_shape(weight)
    size = packing.direct_size(c1, c2, (1, 1), Precision.F32)
    return [
        Bound(f"{weight.target}:direct1", np.float32, (size,), LinearWeights(), (weight.target,)),
        bound_bias(node.args[2], c2, Activation.NONE, None),
    ]


def _linear(
    call: Call,
    x: TensorValue,
    _weight: None,
    _bias: None,
    activation: Activation = Activation.NONE,
    residual: TensorValue | None = None,
) -> TensorValue:
    weight, bias = call.weights
    c2 = static_shape(call.node.args[1])[0]
    return products.linear(x, weight, bias, c2, activation=activation, residual=residual)


def _matmul(_call: Call, a: TensorValue, b: TensorValue) -> TensorValue:
    return products.matmul(a, b)


def _addmm(
    _call: Call, bias: TensorValue, a: TensorValue, b: TensorValue, *, beta: float = 1, alpha: float = 1
) -> TensorValue:
    product = products.matmul(a, b, alpha=alpha)
    return product + (bias if beta == 1 else bias * float(beta))


def _attention(
    call: Call,
    q: TensorValue,
    k: TensorValue,
    v: TensorValue,
    mask: TensorValue | None = None,
    _dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> TensorValue:
    del enable_gqa
    scale = int(q.shape[-1]) ** -0.5 if scale is None else scale
    if mask is None and not is_causal and int(q.shape[-1]) <= MOST_CHANNELS and q.rank > 2:
        return ops.reshape(products.attention(_heads(q), _heads(k), _heads(v), 1, scale=scale), call.shape)
    scores = products.matmul(q, k, transpose_b=True, alpha=scale)
    if is_causal:
        hidden = np.triu(np.full((int(q.shape[-2]), int(k.shape[-2])), -math.inf, np.float32), 1)
        scores = scores + ops.constant(hidden, scores.dtype, device())
    if mask is not None and mask.dtype == DType.bool:
        scores = ops.where(mask, scores, ops.constant(-math.inf, scores.dtype, device()))
    elif mask is not None:
        scores = scores + mask
    shares = products.softmax(scores)
    if mask is not None:  # a row of which all is hidden gives 0
        hidden_all = ops.equal(scores, ops.constant(-math.inf, scores.dtype, device()))
        shares = ops.where(hidden_all, ops.constant(0, scores.dtype, device()), shares)
    return products.matmul(shares, v)


def _attention_by_hand(
    call: Call, q: TensorValue, k: TensorValue, v: TensorValue, bias: TensorValue | None, scale: float
) -> TensorValue:
    if bias is None:
        return _attention(call, q, k, v, scale=scale)
    scores = products.matmul(q, k, transpose_b=True, alpha=scale)
    return products.matmul(products.softmax(scores + bias), v)


def _heads(x: TensorValue) -> Heads:
    """``[..., heads, n, d]`` as images of one head."""
    *outer, rows, channels = x.shape
    count = outer[0]
    for dim in outer[1:]:
        count = count * dim
    return Heads(ops.reshape(x, [count, 1, rows, channels]), 0, int(channels), int(channels))


def _softmax(call: Call, x: TensorValue, dim: int, _dtype: Any = None) -> TensorValue:
    return on_last(call, x, dim, products.softmax)


def _log_softmax(call: Call, x: TensorValue, dim: int, _dtype: Any = None) -> TensorValue:
    return on_last(call, x, dim, _log_softmax_of_rows)


def _log_softmax_of_rows(x: TensorValue) -> TensorValue:
    shifted = x - ops.max(x, axis=-1)
    return shifted - ops.log(ops.sum(exp(shifted), axis=-1))


def on_last(_call: Call, x: TensorValue, dim: int, function: Any) -> TensorValue:
    """Applies a function of the last dimension to another one."""
    dim %= x.rank
    if dim == x.rank - 1:
        return function(x)
    return ops.transpose(function(ops.transpose(x, dim, -1)), dim, -1)


def _normalised(x: TensorValue, eps: float) -> TensorValue:
    """Rows with mean 0 and variance 1."""
    centred = x - ops.mean(x, axis=-1)
    return centred * ops.rsqrt(ops.mean(centred * centred, axis=-1) + eps)


def _layer_norm(
    _call: Call,
    x: TensorValue,
    shape: Any,
    weight: TensorValue | None = None,
    bias: TensorValue | None = None,
    eps: float = 1e-5,
    _cudnn: bool = False,
) -> TensorValue:
    outer = list(x.shape[: x.rank - len(shape)])
    if len(shape) == 1 and shape[0] and x.dtype == DType.float32 and on_kernels(x):
        return norms.layer_norm(x, weight, bias, eps)
    y = ops.reshape(_normalised(ops.reshape(x, [*outer, math.prod(map(int, shape))]), eps), x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _group_norm(
    call: Call,
    x: Any,
    groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    _cudnn: bool = False,
) -> Any:
    """Means over the pixels and channels of a group."""
    if call.maps:
        return _group_norm_of_maps(x, groups, weight, bias, eps)
    batch, channels, *sides = x.shape
    pixels = ops.reshape(x, [batch, channels, reduce(lambda a, b: a * b, sides, Dim(1))])
    lying = ops.unsqueeze(ops.permute(pixels, [0, 2, 1]), 1)
    factors = [
        None if each is None else FeatureMap.of(ops.reshape(each, [1, 1, 1, channels]))
        for each in (weight, bias)
    ]
    y = materialise(_group_norm_of_maps(FeatureMap.of(lying), groups, factors[0], factors[1], eps))
    return ops.reshape(ops.permute(ops.squeeze(y, 1), [0, 2, 1]), x.shape)


def _group_norm_of_maps(
    x: FeatureMap, groups: int, weight: FeatureMap | None, bias: FeatureMap | None, eps: float
) -> FeatureMap:
    """The channels of a group lie next to each other."""
    tensor = materialise(x)
    batch, height, width, channels = tensor.shape
    each = int(channels) // groups
    parts = ops.reshape(tensor, [batch, height * width, groups, each])
    by_group = ops.reshape(ops.permute(parts, [0, 2, 1, 3]), [batch, groups, height * width * each])
    spread = ops.reshape(_normalised(by_group, eps), [batch, groups, height * width, each])
    y = ops.reshape(ops.permute(spread, [0, 2, 1, 3]), tensor.shape)
    for factor_or_term, operation in ((weight, ops.mul), (bias, ops.add)):
        if factor_or_term is not None:
            y = operation(y, ops.reshape(materialise(factor_or_term), [1, 1, 1, channels]))
    return FeatureMap.of(y)


def _of_maps_or_rows(node: fx.Node) -> Layout:
    return Layout.MAPS if rank(node.args[0]) == 4 else Layout.ROWS


def _static_channels(node: fx.Node, _program: Program) -> str | None:
    return None if isinstance(shape_of(node)[1], int) else "the number of channels is not static"


def _embedding(_call: Call, weight: TensorValue, indices: TensorValue, *_: Any) -> TensorValue:
    return ops.gather(weight, indices, 0)


def _linear_refusal(node: fx.Node, program: Program) -> str | None:
    given = arguments(node)
    if any(given[name] is not None and program.constant(given[name]) is None for name in ("weight", "bias")):
        return "its weights are not constant"
    return None


def _matrices(node: fx.Node, _program: Program) -> str | None:
    for each in node.all_input_nodes:
        if rank(each) < 2 and node.target is aten.matmul.default:
            return "a vector is not multiplied; use unsqueeze"
    for each in node.args[-2:]:
        if not all(isinstance(size, int) for size in shape_of(each)[-1:]):
            return "the last dimension of a matrix is not static"
    return None


def _attention_refusal(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if given["enable_gqa"] and shape_of(given["query"])[:-2] != shape_of(given["key"])[:-2]:
        return "queries share keys and values (enable_gqa)"
    if given["dropout_p"]:
        return "it drops scores at random"
    sides = [shape_of(given[name])[-2] for name in ("query", "key")]
    if given["is_causal"] and not all(isinstance(side, int) for side in sides):
        return "a causal mask has a static size"
    if len({str(shape_of(given[name])[:-2]) for name in ("query", "key", "value")}) > 1:
        return "queries, keys and values have different batches"
    return None


def _static_last(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if given.get("dtype") not in (None, node.meta["val"].dtype):
        return "it has a dtype of its own"
    if rank(node) == 0:
        return "a number has no dimensions"
    if not isinstance(shape_of(node)[given["dim"]], int):
        return "its dimension is not static"
    return None


RULES = [
    Rule(fused.linear, _linear, "linear", packs=_pack_linear),
    Rule(aten.linear.default, becomes_another, "linear", refuses=_linear_refusal),
    Rule(aten.matmul.default, _matmul, "matmul", refuses=_matrices),
    Rule(aten.mm.default, _matmul, "matmul", refuses=_matrices),
    Rule(aten.bmm.default, _matmul, "matmul", refuses=_matrices),
    Rule(aten.addmm.default, _addmm, "matmul", refuses=_matrices),
    Rule(aten.baddbmm.default, _addmm, "matmul", refuses=_matrices),
    Rule(
        aten.scaled_dot_product_attention.default,
        _attention,
        "attention; with a mask matmul and softmax",
        dtypes=FLOAT | {torch.bool},
        refuses=_attention_refusal,
    ),
    Rule(fused.attention, _attention_by_hand, "attention; with a bias matmul and softmax"),
    Rule(aten.softmax.int, _softmax, "softmax", refuses=_static_last),
    Rule(aten.log_softmax.int, _log_softmax, refuses=_static_last),
    Rule(aten.layer_norm.default, _layer_norm, "layer_norm; of several dimensions MAX"),
    Rule(aten.group_norm.default, _group_norm, layout=_of_maps_or_rows, refuses=_static_channels),
    Rule(aten.embedding.default, _embedding, dtypes=FLOAT | {torch.int64, torch.int32}),
]
