"""How many operations of arithmetic a node takes: two for each multiplication that is added up."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from yolo_max.convert.program import arguments, tensor_of

aten = torch.ops.aten


def sizes(node: Any) -> list[int]:
    """A tensor's sizes; a symbolic one is that of the example in the capture, or 0 if it is unknown."""
    value = tensor_of(node)
    shape = () if value is None else value.shape
    return [size.node.hint or 0 if isinstance(size, torch.SymInt) else int(size) for size in shape]


def flops(node: fx.Node) -> int:
    """Of a call of PyTorch's operation.

    Convolutions, products and attention count their products; what works on each element counts one for each;
    anything else counts nothing.
    """
    target, count = node.target, math.prod(sizes(node))
    if target in (aten.conv2d.default, aten.conv2d.padding):
        return 2 * count * math.prod(sizes(node.args[1])[1:])
    if target is aten.conv_transpose2d.input:
        return 2 * math.prod(sizes(node.args[0])) * math.prod(sizes(node.args[1])[1:])
    if target is aten.linear.default:
        return 2 * count * sizes(node.args[1])[1]
    if target in (
        aten.matmul.default,
        aten.mm.default,
        aten.bmm.default,
        aten.addmm.default,
        aten.baddbmm.default,
    ):
        return 2 * count * sizes(node.args[-2])[-1]
    if target is aten.scaled_dot_product_attention.default:
        given = arguments(node)
        query, key, value = (sizes(given[name]) for name in ("query", "key", "value"))
        return 2 * math.prod(query[:-1]) * key[-2] * (key[-1] + value[-1])
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return count
    return 0
