"""Distances of points, and bags of embeddings."""

from __future__ import annotations

import math

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import Program, shape_of
from yolo_max.convert.rule import FLOAT, Call, Rule, device
from yolo_max.convert.rules.exponentials import power
from yolo_max.convert.rules.places import static_sizes
from yolo_max.kernels import products

aten = torch.ops.aten


def _norm(differences: TensorValue, p: float) -> TensorValue:
    """The p-norm over the last dimension, which stays as 1."""
    size = ops.abs(differences)
    if p == 0:
        return ops.sum(ops.cast(ops.greater(size, 0.0), size.dtype), axis=-1)
    if p == 1:
        return ops.sum(size, axis=-1)
    if p == 2:
        return ops.sqrt(ops.sum(size * size, axis=-1))
    if math.isinf(p):
        return ops.max(size, axis=-1)
    return power(ops.sum(power(size, float(p)), axis=-1), 1 / p)


def _cdist(call: Call, x: TensorValue, y: TensorValue, p: float, _mode: int | None = None) -> TensorValue:
    differences = ops.unsqueeze(x, -2) - ops.unsqueeze(y, -3)
    return ops.reshape(_norm(differences, p), call.shape)


def _pdist(call: Call, x: TensorValue, p: float = 2) -> TensorValue:
    """Of each row and all behind it."""
    first, second = (
        ops.constant(each, DType.int64, device()) for each in np.triu_indices(int(x.shape[0]), 1)
    )
    return ops.reshape(_norm(ops.gather(x, first, 0) - ops.gather(x, second, 0), p), call.shape)


def _embedding_bag(
    call: Call,
    table: TensorValue,
    indices: TensorValue,
    offsets: TensorValue,
    mean: bool,
    factors: TensorValue | None,
    last: bool,
    padding: int,
) -> TensorValue:
    """A product with a matrix that says which row is in which bag."""
    (count,), bags = indices.shape, call.shape[0]
    place = ops.constant(np.arange(int(count)), offsets.dtype, device())
    begin = ops.reshape(offsets[: int(bags)], [bags, 1])
    behind = offsets[1:]
    if not last:
        behind = ops.concat([behind, ops.constant(np.array([int(count)]), offsets.dtype, device())])
    inside = ops.logical_and(
        ops.greater_equal(place, begin), ops.greater(ops.reshape(behind, [bags, 1]), place)
    )
    inside = ops.logical_and(inside, ops.not_equal(indices, ops.constant(padding, indices.dtype, device())))
    shares = ops.cast(inside, DType.float32)
    if mean:
        shares = shares / ops.max(ops.sum(shares, axis=-1), 1.0)
    if factors is not None:
        shares = shares * factors
    return products.matmul(shares, ops.gather(table, indices, 0))


def _embedding_bag_refusal(node: fx.Node, _program: Program) -> str | None:
    for each in node.args[1:3]:
        if not all(isinstance(size, int) for size in shape_of(each)):
            return "its sizes are not static"
    return None


RULES = [
    Rule(aten._cdist_forward.default, _cdist),
    Rule(aten._pdist_forward.default, _pdist, refuses=static_sizes),
    Rule(
        fused.embedding_bag,
        _embedding_bag,
        "matmul",
        dtypes=FLOAT | {torch.int64, torch.int32},
        refuses=_embedding_bag_refusal,
    ),
]
