"""Which tensors of a network are maps, NHWC, and which are in PyTorch's order.

Convolutions, pools and resizing take and give maps. What works on each element, and what concatenates or
slices channels, follows its inputs. So maps stay maps from the first convolution to whatever needs rows, and
a tensor is transposed where the two meet, and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import fx

from yolo_max.convert.constants import TO_NHWC, AsMap, Bound, Unchanged
from yolo_max.convert.program import Program, rank, shape_of
from yolo_max.convert.rule import Layout, Rules

TO_NCHW = (0, 3, 1, 2)


class Order(NamedTuple):
    """Whether a node takes its tensors as maps, and whether it gives a map."""

    takes_maps: bool
    gives_map: bool


def orders(program: Program, rules: Rules) -> dict[fx.Node, Order]:
    """The order of each node that computes tensors."""
    found: dict[fx.Node, Order] = {}
    for node in program.calls():
        layout = rules[node.target].layout_of(node)
        inputs = node.all_input_nodes
        meets_map = any(each in found and found[each].gives_map for each in inputs)
        if layout is Layout.ROWS_TO_MAPS:
            found[node] = Order(False, rank(node) == 4)
            continue
        takes = layout is Layout.MAPS or (
            meets_map and layout is not Layout.ROWS and all(map(_can_be_map, inputs))
        )
        found[node] = Order(takes, takes and layout is not Layout.MAPS_TO_ROWS and _gives_rank_4(node))
    return found


def transposed(program: Program, found: dict[fx.Node, Order]) -> list[fx.Node]:
    """The nodes whose tensor is computed in one order and also read in the other.

    Constants are none of them, nor maps of one pixel or one channel, which are the same in both.
    """
    read: dict[fx.Node, bool] = {}
    for node in program.graph.nodes:
        takes_maps = node in found and found[node].takes_maps
        for each in node.all_input_nodes:
            gives_map = each in found and found[each].gives_map
            if (
                each.op != "get_attr"
                and rank(each) == 4
                and takes_maps != gives_map
                and not _is_one_line(each)
            ):
                read[each] = True
    return list(read)


def _is_one_line(node: fx.Node) -> bool:
    channels, *sides = shape_of(node)[1:]
    return channels == 1 or all(isinstance(side, int) and side == 1 for side in sides)


def _can_be_map(node: fx.Node) -> bool:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return True
    return value.ndim <= 4 and (value.ndim < 3 or isinstance(value.shape[-3], int))


def _gives_rank_4(node: fx.Node) -> bool:
    value = node.meta.get("val")
    parts = value if isinstance(value, tuple | list) else [value]
    return all(isinstance(each, torch.Tensor) and each.ndim == 4 for each in parts)


def bound_constant(program: Program, node: fx.Node, as_map: bool) -> Bound:
    """The constant of a ``get_attr`` node; as a map, NHWC, it has rank 4 for broadcasting."""
    name, value = str(node.target), program.constants[str(node.target)]
    dtype, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
    if not as_map:
        return Bound(name, np.dtype(dtype), shape, Unchanged(), (name,))
    nchw = (*[1] * (4 - len(shape)), *shape)
    nhwc = tuple(nchw[axis] for axis in TO_NHWC)
    return Bound(f"{name}:nhwc", np.dtype(dtype), nhwc, AsMap(), (name,))


def bound_constants(program: Program, rules: Rules, found: dict[fx.Node, Order]) -> dict[str, Bound]:
    """All constants that the network's graph reads, by name."""
    bound: list[Bound] = []
    for node in program.graph.nodes:
        constants = [each for each in node.all_input_nodes if each.op == "get_attr"]
        rule = rules[node.target] if node in found else None
        if rule is not None and rule.packs is not None:
            bound += rule.packs(node, program)
        else:
            as_map = node in found and found[node].takes_maps
            bound += [bound_constant(program, each, as_map) for each in constants]
    return {each.name: each for each in bound}
