"""Transposes of flattened maps, written so that they cost nothing: NHWC has the channels of a pixel together.

``map.flatten(2).transpose(1, 2)``, rows of channels, as transformers take an image and as YOLO's heads are
read, is the map as it lies in memory. Maps may be concatenated before they are transposed: their channels,
and the pixels of several levels.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import Program, arguments, rank, shape_of

aten = torch.ops.aten
TO_ROWS = (0, 2, 1)
"""Permutation of ``[batch, channels, pixels]``."""
CHANNELS, PIXELS = 1, 2
"""Its dimensions."""
Level = list[fx.Node]
"""Maps of one size whose channels are concatenated."""


def transpose_maps_first(program: Program) -> None:
    """Transposes maps before they are flattened and concatenated instead of afterwards."""
    for node in list(program.calls()):
        if _is_to_rows(node) and (levels := _levels(node.args[0])) is not None and _can_be_copied(levels):
            maps = [_joined(program, level, node) for level in levels]
            node.replace_all_uses_with(_call(program, node, node.meta["val"], fused.rows_of_maps, maps))
            program.graph.erase_node(node)


def _is_to_rows(node: fx.Node) -> bool:
    return node.target is aten.permute.default and tuple(dim % rank(node) for dim in node.args[1]) == TO_ROWS


def _levels(node: Any) -> list[Level] | None:
    """The maps that a tensor is made of, which is read only once; None if it is made of anything else."""
    if not isinstance(node, fx.Node) or len(node.users) != 1:
        return None
    if node.target is aten.cat.default:
        parts: Any = node.args[0]
        found = [levels for part in parts if (levels := _levels(part)) is not None]
        dim = arguments(node)["dim"] % 3
        if len(found) < len(parts):
            return None
        if dim == PIXELS:
            return [level for levels in found for level in levels]
        alike = dim == CHANNELS and len({str(list(map(_size, levels))) for levels in found}) == 1
        return [[*chain.from_iterable(level)] for level in zip(*found, strict=True)] if alike else None
    source: Any = node.args[0] if node.args else None
    before, behind = shape_of(source), shape_of(node)
    is_flattened = (
        node.target is aten.view.default
        and (len(before), len(behind)) == (4, 3)
        and isinstance(before[1], int)
        and [str(size) for size in before[:2]] == [str(size) for size in behind[:2]]
    )
    return [[source]] if is_flattened else None


def _can_be_copied(levels: list[Level]) -> bool:
    """Whether all maps are of one floating-point dtype; of other ones there are rows, and no map's rows."""
    dtypes = {each.meta["val"].dtype for level in levels for each in level}
    return len(dtypes) == 1 and all(dtype.is_floating_point for dtype in dtypes)


def _size(level: Level) -> list[str]:
    return [str(side) for side in shape_of(level[0])[2:]]


def _joined(program: Program, level: Level, place: fx.Node) -> fx.Node:
    """The maps of a level as one, in front of a node."""
    if len(level) == 1:
        return level[0]
    value = torch.cat([each.meta["val"] for each in level], 1)
    return _call(program, place, value, aten.cat.default, level, 1)


def _call(program: Program, place: fx.Node, value: Any, target: Any, *args: Any) -> fx.Node:
    with program.graph.inserting_before(place):
        made = program.graph.call_function(target, args)
    made.meta = {**place.meta, "val": value}
    return made
