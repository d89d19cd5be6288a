"""Transposed convolutions of any geometry, written with the one that the kernels compute.

That one enlarges a map exactly stride times. PyTorch's has more rows below where ``output_padding`` or a
large kernel asks for them: then the map gets rows of zeros there first. It has fewer where its padding cuts
off more than kernel - stride: those are cut off afterwards. A kernel smaller than its stride, dilation and
groups are zeros in the filters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import Program, arguments, module_of, replace_call, shape_of
from yolo_max.convert.writer import Writer, many

aten = torch.ops.aten


class Axis(NamedTuple):
    """The geometry along the height or the width.

    Attributes:
        kernel: Places of the filters at hand.
        stride: How many times the map is enlarged.
        top: What the kernels cut off in front.
        behind: Zeros behind the map.
        begin: What is cut off of the result, in front.
        exact: Whether the result is the enlarged map, and nothing is cut off.
    """

    kernel: int
    stride: int
    top: int
    behind: int
    begin: int
    exact: bool


def axes(given: dict[str, Any]) -> list[Axis]:
    """Both axes of a call with these arguments."""
    names = ("stride", "padding", "output_padding", "dilation")
    numbers = zip(shape_of(given["weight"])[2:], *(many(given[name], 2) for name in names), strict=True)
    return [_axis(*each) for each in numbers]


def _axis(k: int, stride: int, padding: int, more: int, dilation: int) -> Axis:
    reach = dilation * (k - 1) + 1
    kernel = max(reach, stride)
    top = min(padding, kernel - stride)
    begin = padding - top
    longer = reach - stride - 2 * padding + more  # than the enlarged map
    return Axis(kernel, stride, top, max(0, -(-(begin + longer) // stride)), begin, longer == begin == 0)


def refusal(given: dict[str, Any]) -> str | None:
    """Why a transposed convolution is not written so, or None."""
    sides = shape_of(given["input"])[2:]
    if all(axis.exact or isinstance(side, int) for axis, side in zip(axes(given), sides, strict=True)):
        return None
    return "a transposed convolution that does not enlarge a map exactly stride times has static sides"


def write_transposed(program: Program, node: fx.Node) -> None:
    """Writes a transposed convolution of constant weights, unless it is refused."""
    given = arguments(node)
    if refusal(given) is not None:
        return
    x, (rows, columns) = given["input"], axes(given)
    filters = program.constant(given["weight"])
    assert filters is not None
    with program.graph.inserting_before(node):
        write, weight = Writer(program, node), given["weight"]
        spread = _spread(filters, (rows.kernel, columns.kernel), many(given["dilation"], 2), given["groups"])
        if spread.shape != filters.shape:
            weight = program.add_constant(f"{module_of(node) or node.name}.weight_spread", spread)
        if rows.behind or columns.behind:
            x = write(aten.constant_pad_nd.default, x, [0, columns.behind, 0, rows.behind])
        args = (x, weight, given["bias"], (rows.stride, columns.stride), (rows.top, columns.top))
        if rows.exact and columns.exact:
            replace_call(program, node, fused.conv_transpose2d, args)
            return
        made = write(fused.conv_transpose2d, *args)
        for dim, axis in ((2, rows), (3, columns)):
            end = axis.begin + shape_of(node)[dim]
            made = write(aten.slice.Tensor, made, dim, axis.begin, end)
    node.replace_all_uses_with(made)
    program.graph.erase_node(node)


def _spread(filters: torch.Tensor, kernel: tuple[int, int], dilation: list[int], groups: int) -> torch.Tensor:
    """Filters ``[c1, c2 / groups, kh, kw]`` as ``[c1, c2, *kernel]``, with zeros between and behind."""
    c1, each, height, width = filters.shape
    whole = filters.new_zeros(c1, each * groups, *kernel)
    (down, across), inputs = dilation, c1 // groups
    for group in range(groups):
        into = whole[group * inputs : (group + 1) * inputs, group * each : (group + 1) * each]
        own = filters[group * inputs : (group + 1) * inputs]
        into[:, :, : down * (height - 1) + 1 : down, : across * (width - 1) + 1 : across] = own
    return whole
