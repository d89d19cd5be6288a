"""Operations of volumes ``[B, C, D, H, W]``, written with those of maps: of their frames and of their depth.

Means, maxima and resizing of boxes are those of their sides, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import shape_of
from yolo_max.convert.writer import Writer, many, window

aten = torch.ops.aten


def _conv3d(write: Writer, given: dict[str, Any]) -> fx.Node:
    """Of rows where it is one pixel wide and high; else of all frames that it reads, as channels of one."""
    x, weight, groups = given["input"], given["weight"], given["groups"]
    k = [int(size) for size in shape_of(weight)[2:]]
    (step, *stride), (spread, *dilation) = many(given["stride"], 3), many(given["dilation"], 3)
    before, behind = _both_sides(given["padding"], k, [spread, *dilation])
    frames = write(fused.as_maps, x)
    rows = write(fused.as_rows, frames, shape_of(x)[2])
    rows = _padded(write, rows, [0, 0, before[0], behind[0]])
    if k[1:] == stride == [1, 1] and not any((*before[1:], *behind[1:])):
        column = write(aten.view.default, weight, [*shape_of(weight)[:3], 1])
        how = ([step, 1], [0, 0], [spread, 1], groups)
        rows = write(aten.conv2d.default, rows, column, given["bias"], *how)
        return _volumes(write, write(fused.as_frames, rows, frames))
    end = (write.node.meta["val"].shape[2] - 1) * step + 1
    even = before[1:] == behind[1:]
    sides = [0] * 4 if even else [before[2], behind[2], before[1], behind[1]]
    taps = []
    for place in range(0, k[0] * spread, spread):
        tap = write(aten.slice.Tensor, rows, 2, place, place + end, step)
        taps.append(_padded(write, write(fused.as_frames, tap, frames), sides))
    how = (stride, before[1:] if even else [0, 0], dilation, groups)
    if groups == 1:
        together = taps[0] if len(taps) == 1 else write(aten.cat.default, taps, 1)
        merged = write(aten.permute.default, weight, [0, 2, 1, 3, 4])
        c2, _, c1, *_ = shape_of(merged)
        merged = write(aten.reshape.default, merged, [c2, k[0] * c1, *k[1:]])
        return _volumes(write, write(aten.conv2d.default, together, merged, given["bias"], *how))
    y = None
    for number, tap in enumerate(taps):
        filters = write(aten.select.int, weight, 2, number)
        part = write(aten.conv2d.default, tap, filters, given["bias"] if y is None else None, *how)
        y = part if y is None else write(aten.add.Tensor, part, y)
    return _volumes(write, y)


def _padded(write: Writer, x: fx.Node, sides: list[int]) -> fx.Node:
    return write(aten.constant_pad_nd.default, x, sides, 0.0) if any(sides) else x


def _volumes(write: Writer, frames: Any) -> fx.Node:
    return write(fused.as_volumes, frames, write.node.meta["val"].shape[2])


def _in_depth(write: Writer, frames: fx.Node, depth: int, target: Any, *args: Any) -> fx.Node:
    """An operation of maps along the depth of volumes."""
    rows = write(target, write(fused.as_rows, frames, depth), *args)
    return _volumes(write, write(fused.as_frames, rows, frames))


def _max_pool3d(write: Writer, given: dict[str, Any]) -> fx.Node:
    k, s = window(given, 3)
    p, d = many(given["padding"], 3), many(given["dilation"], 3)
    ceil, pool = given["ceil_mode"], aten.max_pool2d.default
    frames = write(pool, write(fused.as_maps, given["self"]), k[1:], s[1:], p[1:], d[1:], ceil)
    depth = shape_of(given["self"])[2]
    return _in_depth(write, frames, depth, pool, [k[0], 1], [s[0], 1], [p[0], 0], [d[0], 1], ceil)


def _avg_pool3d(write: Writer, given: dict[str, Any]) -> fx.Node:
    k, s = window(given, 3)
    p, divisor = many(given["padding"], 3), given["divisor_override"]
    how = (given["ceil_mode"], given["count_include_pad"])
    pool, sums = aten.avg_pool2d.default, None if divisor is None else 1
    frames = write(pool, write(fused.as_maps, given["self"]), k[1:], s[1:], p[1:], *how, sums)
    depth = shape_of(given["self"])[2]
    return _in_depth(write, frames, depth, pool, [k[0], 1], [s[0], 1], [p[0], 0], *how, divisor)


def _adaptive_avg_pool3d(write: Writer, given: dict[str, Any]) -> fx.Node:
    depth, *size = many(given["output_size"], 3)
    pool = aten.adaptive_avg_pool2d.default
    frames = write(pool, write(fused.as_maps, given["self"]), size)
    return _in_depth(write, frames, shape_of(given["self"])[2], pool, [depth, size[0] * size[1]])


def _upsample3d(target: Any, write: Writer, given: dict[str, Any]) -> fx.Node:
    depth, height, width = write.node.meta["val"].shape[2:]
    scale = given["scale_factors"]
    corners = [given["align_corners"]] if "align_corners" in given else []
    frames = write(fused.as_maps, given["input"])
    frames = write(target, frames, None if scale else [height, width], *corners, scale[1:] if scale else None)
    rest = (
        None if scale else [depth, height * width],
        *corners,
        [scale[0], 1.0] if scale else None,
    )
    return _in_depth(write, frames, shape_of(given["input"])[2], target, *rest)


def _both_sides(padding: Any, k: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    """Of each dimension; of an odd "same" padding the larger part is behind."""
    if isinstance(padding, str):
        totals = [d * (size - 1) * (padding == "same") for size, d in zip(k, dilation, strict=True)]
        return [total // 2 for total in totals], [total - total // 2 for total in totals]
    return many(padding, 3), many(padding, 3)


FORMS: Mapping[Any, Callable[[Writer, dict[str, Any]], fx.Node]] = MappingProxyType(
    {
        aten.conv3d.default: _conv3d,
        aten.conv3d.padding: _conv3d,
        aten.max_pool3d.default: _max_pool3d,
        aten.avg_pool3d.default: _avg_pool3d,
        aten.adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
        aten._adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
        aten.upsample_nearest3d.vec: partial(_upsample3d, aten.upsample_nearest2d.vec),
        aten.upsample_trilinear3d.vec: partial(_upsample3d, aten.upsample_bilinear2d.vec),
    }
)
"""How each is written with operations of maps."""
