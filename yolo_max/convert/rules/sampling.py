"""Maps read at any points: ``grid_sample``."""

from __future__ import annotations

from functools import reduce
from itertools import product

import torch
from max.dtype import DType
from max.graph import TensorValue, ops
from torch import fx

from yolo_max.convert.program import Program, shape_of
from yolo_max.convert.rule import Call, Rule

aten = torch.ops.aten
BILINEAR, NEAREST = 0, 1
ZEROS, BORDER, REFLECTION = 0, 1, 2
"""PyTorch's numbers."""


def _grid_sampler(
    _call: Call, x: TensorValue, grid: TensorValue, mode: int, padding: int, aligned: bool
) -> TensorValue:
    batch, channels, height, width = x.shape
    sizes = (int(height), int(width))
    rows, columns = grid.shape[1], grid.shape[2]
    pixels = ops.reshape(ops.permute(x, [0, 2, 3, 1]), [batch, sizes[0] * sizes[1], channels])
    points = [
        _point(grid[:, :, :, axis], size, padding, aligned) for axis, size in ((1, sizes[0]), (0, sizes[1]))
    ]
    taps: list[list[tuple[TensorValue, TensorValue | float]]]
    if mode == NEAREST:
        taps = [[(ops.round(each), 1.0)] for each in points]
    else:
        taps = [
            [(begin, begin + 1.0 - point), (begin + 1.0, point - begin)]
            for point in points
            for begin in (ops.floor(point),)
        ]
    parts = []
    for (row, row_share), (column, column_share) in product(*taps):
        taken = _taken(pixels, (row, column), sizes, padding)
        share = row_share * column_share
        parts.append(taken * ops.reshape(share, [batch, rows * columns, 1]) if mode == BILINEAR else taken)
    total = reduce(ops.add, parts)
    return ops.permute(ops.reshape(total, [batch, rows, columns, channels]), [0, 3, 1, 2])


def _point(at: TensorValue, size: int, padding: int, aligned: bool) -> TensorValue:
    """Pixels, of coordinates that are -1 and 1 at the outermost centres or, unaligned, edges."""
    point = (at + 1.0) * ((size - 1) / 2) if aligned else ((at + 1.0) * float(size) - 1.0) / 2.0
    if padding == REFLECTION:
        point = _reflected(point, 0.0 if aligned else -0.5, float(size - 1 if aligned else size))
    return point if padding == ZEROS else ops.min(ops.max(point, 0.0), float(size - 1))


def _reflected(point: TensorValue, low: float, span: float) -> TensorValue:
    """Reflected at ``low`` and ``low + span`` until it lies between."""
    if not span:
        return point * 0.0
    from_low = ops.abs(point - low)
    turns = ops.floor(from_low / span)
    rest = from_low - turns * span
    odd = ops.greater(turns - 2.0 * ops.floor(turns / 2.0), 0.5)
    return ops.where(odd, span - rest, rest) + low


def _taken(
    pixels: TensorValue, place: tuple[TensorValue, TensorValue], sizes: tuple[int, int], padding: int
) -> TensorValue:
    """The pixels at a place, ``[B, points, C]``; those beside the map are 0."""
    batch, rows, columns = place[0].shape
    y, x = (ops.min(ops.max(each, 0.0), float(size - 1)) for each, size in zip(place, sizes, strict=True))
    index = ops.cast(y, DType.int64) * sizes[1] + ops.cast(x, DType.int64)
    taken = ops.gather_nd(pixels, ops.reshape(index, [batch, rows * columns, 1]), batch_dims=1)
    if padding != ZEROS:
        return taken
    inside = ops.logical_and(ops.equal(y, place[0]), ops.equal(x, place[1]))
    return taken * ops.reshape(ops.cast(inside, taken.dtype), [batch, rows * columns, 1])


def _refusal(node: fx.Node, _program: Program) -> str | None:
    if node.args[2] not in (BILINEAR, NEAREST):
        return "it samples by bicubic interpolation"
    if not all(isinstance(size, int) for size in shape_of(node.args[0])[1:]):
        return "the sizes of its map are not static"
    return None


RULES = [Rule(aten.grid_sampler_2d.default, _grid_sampler, refuses=_refusal)]
