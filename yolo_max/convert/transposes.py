"""Transposes of flattened maps, written so that they cost nothing: NHWC has the channels of a pixel together.

``map.flatten(2).transpose(1, 2)``, rows of channels, as transformers take an image and as YOLO's heads are
read, is the map as it lies in memory. It may be concatenated before it is transposed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from yolo_max.convert.program import Program, arguments, rank, shape_of

aten = torch.ops.aten
TO_ROWS = (0, 2, 1)
"""Permutation of ``[batch, channels, pixels]``."""


def transpose_maps_first(program: Program) -> None:
    """Transposes maps before they are flattened and concatenated instead of afterwards."""
    for node in list(program.calls()):
        if _is_to_rows(node) and _is_of_maps(node.args[0]):
            node.replace_all_uses_with(_rows(program, node.args[0], node))
            program.graph.erase_node(node)


def _is_to_rows(node: fx.Node) -> bool:
    return node.target is aten.permute.default and tuple(dim % rank(node) for dim in node.args[1]) == TO_ROWS


def _is_of_maps(node: Any) -> bool:
    """Whether a tensor is maps, flattened and concatenated, and read only once."""
    if not isinstance(node, fx.Node) or len(node.users) != 1:
        return False
    if node.target is aten.cat.default:
        parts: Any = node.args[0]
        return arguments(node)["dim"] % 3 != 0 and all(map(_is_of_maps, parts))
    before, behind = shape_of(node.args[0]) if node.args else (), shape_of(node)
    return (
        node.target is aten.view.default
        and (len(before), len(behind)) == (4, 3)
        and isinstance(before[1], int)
        and [str(size) for size in before[:2]] == [str(size) for size in behind[:2]]
    )


def _rows(program: Program, node: Any, place: fx.Node) -> fx.Node:
    """What :func:`_is_of_maps` has found, as ``[batch, pixels, channels]``, in front of a node."""
    value = node.meta["val"].permute(TO_ROWS)
    if node.target is aten.cat.default:
        parts = [_rows(program, each, place) for each in node.args[0]]
        return _call(program, place, node, value, aten.cat.default, parts, 3 - arguments(node)["dim"] % 3)
    x, (batch, channels, pixels) = node.args
    to_nhwc = [0, 2, 3, 1]
    turned = _call(program, place, node, x.meta["val"].permute(to_nhwc), aten.permute.default, x, to_nhwc)
    return _call(program, place, node, value, aten.view.default, turned, [batch, pixels, channels])


def _call(program: Program, place: fx.Node, like: fx.Node, value: Any, target: Any, *args: Any) -> fx.Node:
    with program.graph.inserting_before(place):
        made = program.graph.call_function(target, args)
    made.meta = {**like.meta, "val": value}
    return made
