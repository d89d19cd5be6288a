"""Attention that is written by hand, as one operation: ``softmax(q @ k.T * scale + bias) @ v``.

The scale may be a factor of the queries, of the keys or of the scores, a number or one for each head. With
channels before rows, as in ``v @ softmax(...).T``, it is recognised as well.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import (
    Program,
    arguments,
    module_of,
    rank,
    replace_call,
    same_shape,
    shape_of,
    tensor_of,
)
from yolo_max.convert.writer import Writer

aten = torch.ops.aten
PRODUCTS = (aten.matmul.default, aten.bmm.default, aten.mm.default)
MULTIPLIED = (aten.mul.Tensor, aten.mul.Scalar)
DIVIDED = (aten.div.Tensor, aten.div.Scalar)


class _Scores(NamedTuple):
    """``q @ k.T * scale + sum(biases)``.

    Attributes:
        q: Queries.
        k: Keys.
        scale: Of all products.
        factor: Of those of each head, a constant, or None.
        biases: Nodes and constants.
        nodes: What writes it, from its end.
    """

    q: fx.Node
    k: fx.Node
    scale: float = 1.0
    factor: fx.Node | None = None
    biases: tuple[fx.Node | torch.Tensor, ...] = ()
    nodes: tuple[fx.Node, ...] = ()


def recognise_attention(program: Program) -> None:
    """Replaces each softmax between two products of matrices, whose scores nothing else reads."""
    for node in list(program.calls()):
        if node.target not in PRODUCTS:
            continue
        first, second = node.args
        for shares, values, turned in ((first, second, False), (_turned_back(second), first, True)):
            softmax = shares if _is_softmax(shares) else None
            scores = None if softmax is None else _scores(program, softmax.args[0])
            if scores is not None and _fits(scores, values, turned):
                _write(program, node, softmax, _without_factors(scores), values, turned)
                break


def _is_softmax(node: Any) -> bool:
    if not isinstance(node, fx.Node) or node.target is not aten.softmax.int or len(node.users) > 1:
        return False
    given = arguments(node)
    return given["dim"] in (-1, rank(node) - 1) and given["dtype"] is None


def _scores(program: Program, node: Any) -> _Scores | None:
    """Takes what is computed of a product apart, from its end; None if it is something else."""
    if not isinstance(node, fx.Node) or len(node.users) > 1:
        return None
    if node.target in PRODUCTS:
        q, keys = node.args
        k = _turned_back(keys)
        return None if k is None or not isinstance(q, fx.Node) else _Scores(q, k, nodes=(node,))
    if node.target is aten.add.Tensor and arguments(node)["alpha"] == 1:
        x, y = node.args
        for part, bias in ((x, y), (y, x)):
            found = _scores(program, part) if _same(part, node) and tensor_of(bias) is not None else None
            if found is not None:
                return found._replace(biases=(*found.biases, bias), nodes=(node, *found.nodes))
        return None
    if node.target is aten.view.default:
        return _masked_windows(program, node)
    found = _scores(program, node.args[0]) if node.args else None
    if found is None or found.biases:
        return None
    number = _number(node)
    if number is not None:
        return found._replace(scale=found.scale * number, nodes=(node, *found.nodes))
    if node.target is aten.mul.Tensor and found.factor is None and _of_each_head(program, node.args[1]):
        return found._replace(factor=node.args[1], nodes=(node, *found.nodes))
    return None


def _masked_windows(program: Program, back: fx.Node) -> _Scores | None:
    """Scores ``[images * windows, heads, n, m]`` to which a mask of each window is added, as in Swin."""
    added = back.args[0]
    if not isinstance(added, fx.Node) or added.target is not aten.add.Tensor or len(added.users) > 1:
        return None
    windows, mask = added.args[0], program.constant(added.args[1])
    if not isinstance(windows, fx.Node) or windows.target is not aten.view.default or len(windows.users) > 1:
        return None
    found, shape = _scores(program, windows.args[0]), shape_of(windows)
    if found is None or mask is None or not _same(windows.args[0], back) or len(shape) != 5:
        return None
    if not all(isinstance(size, int) for size in shape) or mask.ndim != 5 or mask.shape[2] != 1:
        return None
    each = mask.expand(shape[0], shape[1], 1, *shape[3:]).flatten(0, 1)
    return found._replace(biases=(*found.biases, each), nodes=(back, added, windows, *found.nodes))


def _same(x: Any, y: fx.Node) -> bool:
    return isinstance(x, fx.Node) and same_shape(x, y)


def _number(node: Any) -> float | None:
    """By what a node multiplies its first argument, if that is a number."""
    if not isinstance(node, fx.Node) or node.target not in (*MULTIPLIED, *DIVIDED):
        return None
    number = node.args[1]
    if not isinstance(number, int | float) or not number or node.kwargs:
        return None
    return float(number) if node.target in MULTIPLIED else 1 / number


def _of_each_head(program: Program, node: Any) -> bool:
    value = program.constant(node)
    return value is not None and value.ndim > 1 and value.shape[-2:] == (1, 1)


def _without_factors(scores: _Scores) -> _Scores:
    """Numbers that queries or keys are multiplied by belong to the scale."""
    for name in ("q", "k"):
        while (number := _number(getattr(scores, name))) is not None:
            each = getattr(scores, name)
            inner = each.args[0]
            scores = scores._replace(
                **{name: inner}, scale=scores.scale * number, nodes=(*scores.nodes, each)
            )
    return scores


def _turned_back(node: Any) -> fx.Node | None:
    """The tensor whose last two dimensions a node swaps, or None."""
    if not isinstance(node, fx.Node) or node.target is not aten.permute.default or rank(node) < 2:
        return None
    last = rank(node) - 1
    dims = [dim % (last + 1) for dim in node.args[1]]
    swapped = [*range(last - 1), last, last - 1]
    return node.args[0] if dims == swapped and isinstance(node.args[0], fx.Node) else None


def _fits(scores: _Scores, values: Any, turned: bool) -> bool:
    """Whether queries, keys and values are batches of one shape."""
    if not isinstance(values, fx.Node):
        return False
    batches = {str(shape_of(each)[:-2]) for each in (scores.q, scores.k, values)}
    channels = shape_of(values)[-2 if turned else -1]
    return len(batches) == 1 and isinstance(shape_of(scores.q)[-1], int) and isinstance(channels, int)


def _write(
    program: Program, node: fx.Node, softmax: fx.Node, scores: _Scores, values: fx.Node, turned: bool
) -> None:
    with program.graph.inserting_before(node):
        write = Writer(program, node)
        dims = [*range(rank(node) - 2), rank(node) - 1, rank(node) - 2]
        q = scores.q if scores.factor is None else write(aten.mul.Tensor, scores.q, scores.factor)
        v = write(aten.permute.default, values, dims) if turned else values
        args = (q, scores.k, v, _sum(program, write, scores), scores.scale)
        absorbed = (*reversed(scores.nodes), softmax)
        if not turned:
            replace_call(program, node, fused.attention, args, *absorbed)
            return
        made = write(fused.attention, *args)
        replace_call(program, node, aten.permute.default, (made, dims), *absorbed)


def _sum(program: Program, write: Writer, scores: _Scores) -> fx.Node | None:
    """The biases as one node; those that are constant are added up beforehand."""
    constants: list[torch.Tensor] = []
    others: list[fx.Node] = []
    for each in scores.biases:
        value = each if isinstance(each, torch.Tensor) else program.constant(each)
        if value is None:
            others.append(each)
        else:
            constants.append(value)
    if constants:
        path = module_of(scores.nodes[-1]) or "self"
        others.append(program.add_constant(f"{path}.bias_of_scores", sum(constants[1:], constants[0])))
    return reduce(lambda x, y: write(aten.add.Tensor, x, y), others) if others else None
