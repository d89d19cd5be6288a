"""Lines ``[B, C, L]`` and volumes ``[B, C, D, H, W]`` as maps, on which the kernels work.

A line is a map of one row. A volume is its frames, one after the other, ``[B * D, C, H, W]``; along its depth
it is a map whose pixels are rows, ``[B, C, D, H * W]``. In memory, NHWC, the two are the same. What works on
each element is moved in front of the way back, so that a network of volumes stays one of maps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.activations import is_activation
from yolo_max.convert.program import Program, arguments, rank, same_shape, shape_of, tensor_of

aten = torch.ops.aten
BACK = (fused.as_lines, fused.as_volumes)


class _Writer:
    """Writes calls in the place of one node."""

    def __init__(self, program: Program, node: fx.Node) -> None:
        self.program, self.node = program, node

    def __call__(self, target: Any, *args: Any) -> fx.Node:
        made = self.program.graph.call_function(target, args)
        values = fx.map_arg(args, self._value)
        made.meta = {**self.node.meta, "val": target(*values)}
        return made

    def _value(self, node: fx.Node) -> Any:
        value, like = node.meta["val"], self.node.meta["val"]
        if node.op == "get_attr" and (mode := getattr(like, "fake_mode", None)) is not None:
            return mode.from_tensor(self.program.constants[str(node.target)], static_shapes=True)
        return value


def use_maps(program: Program) -> None:
    """Writes operations of lines and volumes with those of maps."""
    for node in list(program.calls()):
        write = FORMS.get(node.target)
        if write is None or refusal(node, program) is not None:
            continue
        with program.graph.inserting_before(node):
            made = write(_Writer(program, node), arguments(node))
        node.replace_all_uses_with(made)
        program.graph.erase_node(node)


def refusal(node: fx.Node, program: Program) -> str | None:
    """Why an operation of lines or volumes is not written with those of maps, or None."""
    x, *_ = node.args
    wanted = 3 if "1d" in str(node.target) else 5
    if rank(x) != wanted:
        return f"a line has rank 3 and a volume 5, with a batch, and this is of rank {rank(x)}"
    depth = shape_of(x)[2] if wanted == 5 else 1
    if not isinstance(shape_of(x)[1], int) or not isinstance(depth, int):
        return "the number of channels or the depth is not static"
    given = arguments(node)
    if any(name in given and given[name] is not None for name in ("weight",)) and (
        program.constant(given["weight"]) is None
    ):
        return "its weights are not constant"
    return None


def _line(write: _Writer, x: Any, target: Any, *args: Any) -> fx.Node:
    return write(fused.as_lines, write(target, write(fused.as_maps, x), *args))


def _conv1d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    weight = write(aten.unsqueeze.default, given["weight"], 2)
    stride, dilation = ([1, *_many(given[name], 1)] for name in ("stride", "dilation"))
    padding = given["padding"]
    target = aten.conv2d.padding if isinstance(padding, str) else aten.conv2d.default
    padding = padding if isinstance(padding, str) else [0, *_many(padding, 1)]
    rest = (weight, given["bias"], stride, padding, dilation, given["groups"])
    return _line(write, given["input"], target, *rest)


def _conv_transpose1d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    weight = write(aten.unsqueeze.default, given["weight"], 2)
    stride, dilation = ([1, *_many(given[name], 1)] for name in ("stride", "dilation"))
    padding, more = ([0, *_many(given[name], 1)] for name in ("padding", "output_padding"))
    rest = (weight, given["bias"], stride, padding, more, given["groups"], dilation)
    return _line(write, given["input"], aten.conv_transpose2d.input, *rest)


def _max_pool1d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    k, s = _window(given, 1)
    padding, dilation = ([first, *_many(given[name], 1)] for name, first in (("padding", 0), ("dilation", 1)))
    rest = ([1, *k], [1, *s], padding, dilation, given["ceil_mode"])
    return _line(write, given["self"], aten.max_pool2d.default, *rest)


def _avg_pool1d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    k, s = _window(given, 1)
    padding = [0, *_many(given["padding"], 1)]
    rest = ([1, *k], [1, *s], padding, given["ceil_mode"], given["count_include_pad"])
    return _line(write, given["self"], aten.avg_pool2d.default, *rest)


def _adaptive_avg_pool1d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    size = [1, *_many(given["output_size"], 1)]
    return _line(write, given["self"], aten.adaptive_avg_pool2d.default, size)


def _conv3d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    """Of rows where it is one pixel wide and high, else of frames, as many as it is deep side by side."""
    x, weight, groups = given["input"], given["weight"], given["groups"]
    k = [int(size) for size in shape_of(weight)[2:]]
    stride, dilation = _many(given["stride"], 3), _many(given["dilation"], 3)
    before, behind = _both_sides(given["padding"], k, dilation)
    depth = write.node.meta["val"].shape[2]
    frames = write(fused.as_maps, x)
    if k[1:] == [1, 1] and stride[1:] == [1, 1] and not any((*before[1:], *behind[1:])):
        column = write(aten.view.default, weight, [*shape_of(weight)[:3], 1])
        rows = _padded(write, write(fused.as_rows, frames, shape_of(x)[2]), [0, 0, before[0], behind[0]])
        rest = (given["bias"], [stride[0], 1], [0, 0], [dilation[0], 1], groups)
        rows = write(aten.conv2d.default, rows, column, *rest)
        return write(fused.as_volumes, write(fused.as_frames, rows, frames), depth)
    taps = _taps(write, frames, shape_of(x)[2], k[0], stride[0], dilation[0], (before[0], behind[0]), depth)
    sides = [before[2], behind[2], before[1], behind[1]]
    taps = [_padded(write, tap, sides if before[1:] != behind[1:] else [0] * 4) for tap in taps]
    padding = before[1:] if before[1:] == behind[1:] else [0, 0]
    rest = (stride[1:], padding, dilation[1:], groups)
    if groups == 1:
        merged = write(aten.permute.default, weight, [0, 2, 1, 3, 4])
        merged = write(
            aten.reshape.default, merged, [shape_of(weight)[0], k[0] * int(shape_of(x)[1]), *k[1:]]
        )
        together = taps[0] if len(taps) == 1 else write(aten.cat.default, taps, 1)
        y = write(aten.conv2d.default, together, merged, given["bias"], *rest)
        return write(fused.as_volumes, y, depth)
    parts = [
        write(
            aten.conv2d.default,
            tap,
            write(aten.select.int, weight, 2, number),
            None if number else given["bias"],
            *rest,
        )
        for number, tap in enumerate(taps)
    ]
    y = parts[0]
    for part in parts[1:]:
        y = write(aten.add.Tensor, part, y)
    return write(fused.as_volumes, y, depth)


def _taps(
    write: _Writer,
    frames: fx.Node,
    depth: int,
    k: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    count: int,
) -> list[fx.Node]:
    """The frames that each place of the depth of a window reads."""
    if k == stride == 1 and not any(padding):
        return [frames]
    rows = _padded(write, write(fused.as_rows, frames, depth), [0, 0, *padding])
    taps = []
    for place in range(0, k * dilation, dilation):
        tap = write(aten.slice.Tensor, rows, 2, place, place + (count - 1) * stride + 1, stride)
        taps.append(write(fused.as_frames, tap, frames))
    return taps


def _padded(write: _Writer, x: fx.Node, sides: list[int]) -> fx.Node:
    return write(aten.constant_pad_nd.default, x, sides, 0.0) if any(sides) else x


def _in_depth(write: _Writer, frames: fx.Node, depth: int, target: Any, *args: Any) -> fx.Node:
    """An operation of maps along the depth of volumes."""
    rows = write(target, write(fused.as_rows, frames, depth), *args)
    return write(fused.as_volumes, write(fused.as_frames, rows, frames), write.node.meta["val"].shape[2])


def _max_pool3d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    k, s = _window(given, 3)
    p, d = _many(given["padding"], 3), _many(given["dilation"], 3)
    ceil, pool = given["ceil_mode"], aten.max_pool2d.default
    frames = write(pool, write(fused.as_maps, given["self"]), k[1:], s[1:], p[1:], d[1:], ceil)
    depth = shape_of(given["self"])[2]
    return _in_depth(write, frames, depth, pool, [k[0], 1], [s[0], 1], [p[0], 0], [d[0], 1], ceil)


def _avg_pool3d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    k, s = _window(given, 3)
    p, divisor = _many(given["padding"], 3), given["divisor_override"]
    how = (given["ceil_mode"], given["count_include_pad"])
    pool, sums = aten.avg_pool2d.default, None if divisor is None else 1
    frames = write(pool, write(fused.as_maps, given["self"]), k[1:], s[1:], p[1:], *how, sums)
    depth = shape_of(given["self"])[2]
    return _in_depth(write, frames, depth, pool, [k[0], 1], [s[0], 1], [p[0], 0], *how, divisor)


def _adaptive_avg_pool3d(write: _Writer, given: dict[str, Any]) -> fx.Node:
    depth, *size = _many(given["output_size"], 3)
    pool = aten.adaptive_avg_pool2d.default
    frames = write(pool, write(fused.as_maps, given["self"]), size)
    return _in_depth(write, frames, shape_of(given["self"])[2], pool, [depth, size[0] * size[1]])


def _upsample1d(target: Any, write: _Writer, given: dict[str, Any]) -> fx.Node:
    size = [1, write.node.meta["val"].shape[2]]
    scale = given["scale_factors"]
    corners = [given["align_corners"]] if "align_corners" in given else []
    rest = (None if scale else size, *corners, [1.0, *scale] if scale else None)
    return _line(write, given["input"], target, *rest)


def _upsample3d(target: Any, write: _Writer, given: dict[str, Any]) -> fx.Node:
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


def _window(given: dict[str, Any], count: int) -> tuple[list[int], list[int]]:
    return _many(given["kernel_size"], count), _many(given["stride"] or given["kernel_size"], count)


def _many(value: Any, count: int) -> list[Any]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _both_sides(padding: Any, k: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    """Of each dimension; of an odd "same" padding the larger part is behind."""
    if isinstance(padding, str):
        totals = [d * (size - 1) * (padding == "same") for size, d in zip(k, dilation, strict=True)]
        return [total // 2 for total in totals], [total - total // 2 for total in totals]
    return _many(padding, 3), _many(padding, 3)


FORMS: Mapping[Any, Callable[[_Writer, dict[str, Any]], fx.Node]] = MappingProxyType(
    {
        aten.conv1d.default: _conv1d,
        aten.conv1d.padding: _conv1d,
        aten.conv_transpose1d.default: _conv_transpose1d,
        aten.max_pool1d.default: _max_pool1d,
        aten.avg_pool1d.default: _avg_pool1d,
        aten.adaptive_avg_pool1d.default: _adaptive_avg_pool1d,
        aten.upsample_nearest1d.vec: lambda *a: _upsample1d(aten.upsample_nearest2d.vec, *a),
        aten.upsample_linear1d.vec: lambda *a: _upsample1d(aten.upsample_bilinear2d.vec, *a),
        aten.conv3d.default: _conv3d,
        aten.conv3d.padding: _conv3d,
        aten.max_pool3d.default: _max_pool3d,
        aten.avg_pool3d.default: _avg_pool3d,
        aten.adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
        aten._adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
        aten.upsample_nearest3d.vec: lambda *a: _upsample3d(aten.upsample_nearest2d.vec, *a),
        aten.upsample_trilinear3d.vec: lambda *a: _upsample3d(aten.upsample_bilinear2d.vec, *a),
    }
)
"""How each is written with operations of maps."""


def stay_maps(program: Program) -> None:
    """Moves what works on each element, and what concatenates channels, in front of the way back."""
    for node in list(program.calls()):
        if node.target is fused.as_maps and isinstance(node.args[0], fx.Node) and node.args[0].target in BACK:
            node.replace_all_uses_with(node.args[0].args[0])
            program.graph.erase_node(node)
        elif _moves(node):
            _move(program, node)


def _moves(node: fx.Node) -> bool:
    inputs = [each for each in node.all_input_nodes if each.op != "get_attr"]
    if not inputs or any(each.target not in BACK or not same_shape(each, inputs[0]) for each in inputs):
        return False
    if node.target is aten._native_batch_norm_legit_no_training.default:
        return all(user.args[1] == 0 for user in node.users)
    if node.target is aten.cat.default:
        return arguments(node)["dim"] in (1, 1 - rank(inputs[0])) and len(inputs) == len(node.all_input_nodes)
    together = node.target in (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor)
    if together and len(inputs) < len(node.all_input_nodes):  # a constant, of another shape
        return False
    return together or is_activation(node)


def _move(program: Program, node: fx.Node) -> None:
    back = next(each for each in node.all_input_nodes if each.target in BACK)
    inside = {each: each.args[0] for each in node.all_input_nodes if each.target in BACK}
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: inside.get(each, each))
    if node.target is aten.cat.default:
        args = (args[0], 1)
    reads = list(node.users) if isinstance(node.meta["val"], tuple | list) else [node]
    with program.graph.inserting_before(reads[0]):
        made = program.graph.call_function(node.target, args, kwargs)
        like = tensor_of(back.args[0])
        assert like is not None
        channels = node.meta["val"].shape[1] if reads == [node] else like.shape[1]
        value = like.new_empty([like.shape[0], channels, *like.shape[2:]])
        made.meta = {**node.meta, "val": value}
        if reads != [node]:
            made.meta["val"] = (value, *node.meta["val"][1:])
            taken = program.graph.call_function(operator.getitem, (made, 0))
            taken.meta = {**reads[0].meta, "val": value}
            made = taken
        result = program.graph.call_function(back.target, (made, *back.args[1:]))
    result.meta = dict(reads[0].meta)
    for each in reads:
        each.replace_all_uses_with(result)
        program.graph.erase_node(each)
    if reads != [node]:
        program.graph.erase_node(node)
