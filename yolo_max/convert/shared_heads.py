"""Attention whose heads share keys and values: these are repeated, so that each head has its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from yolo_max.convert.program import Program, arguments, module_of, rank, shape_of
from yolo_max.convert.writer import Writer

aten = torch.ops.aten
TENSORS = ("query", "key", "value")


def repeat_shared_heads(program: Program) -> None:
    """Repeats what PyTorch broadcasts, or with ``enable_gqa`` gives to several heads in a row."""
    for node in list(program.calls()):
        if node.target is not aten.scaled_dot_product_attention.default:
            continue
        given = arguments(node)
        if len({rank(given[name]) for name in TENSORS}) > 1:
            continue
        with program.graph.inserting_before(node):
            tensors = [_repeated(program, node, given, name) for name in TENSORS]
        node.args = (*tensors, *node.args[len(TENSORS) :])
        if len({str(shape_of(each)[:-2]) for each in tensors}) == 1:
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "enable_gqa"}


def _repeated(program: Program, node: fx.Node, given: dict[str, Any], name: str) -> fx.Node:
    """One of the tensors with as many heads, and as many of each other batch, as the largest has."""
    x: fx.Node = given[name]
    grouped = rank(x) - 3 if given["enable_gqa"] and name != "query" else None
    for axis in range(rank(x) - 2):
        size = shape_of(x)[axis]
        sizes = [shape_of(given[each])[axis] for each in TENSORS]
        if not all(isinstance(each, int) for each in sizes) or size == max(sizes):
            continue
        if size != 1 and (axis != grouped or max(sizes) % size):
            continue
        repeated = torch.arange(size).repeat_interleave(max(sizes) // size)
        indices = program.add_constant(f"{module_of(node) or 'self'}.heads_of_{name}", repeated)
        x = Writer(program, node)(aten.index_select.default, x, axis, indices)
    return x
