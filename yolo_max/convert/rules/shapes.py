"""Views, permutations, slices and concatenation; of the channels of maps they cost nothing."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.constants import TO_NHWC
from yolo_max.convert.program import Program, arguments, rank, shape_of, tensor_of
from yolo_max.convert.rule import ANY, FLOAT, Bf16, Call, Layout, Rule, device, materialise, on_kernels
from yolo_max.convert.rules.elementwise import DTYPES
from yolo_max.kernels.copies import joined, rows
from yolo_max.kernels.feature_map import FeatureMap, concat

aten = torch.ops.aten
END = 2**62
"""What lies behind the end of any dimension."""


def _reshape(call: Call, x: TensorValue, *_: Any, **__: Any) -> TensorValue:
    return ops.reshape(x, call.shape)


def _permute(call: Call, x: Any, dims: Any) -> TensorValue:
    if call.maps:  # to NHWC, which they are
        return materialise(x)
    dims = [dim % x.rank for dim in dims]
    if _layout_of_permute(call.node) is Layout.ROWS_TO_MAPS:
        return x
    return ops.permute(x, dims) if dims else x


def _layout_of_permute(node: fx.Node) -> Layout:
    dims: Any = node.args[1]
    places = [dim % 4 for dim in dims] if rank(node) == 4 else []
    if places == [0, 2, 3, 1]:
        return Layout.MAPS_TO_ROWS
    shape = shape_of(node) if places == [0, 3, 1, 2] else ()
    return Layout.ROWS_TO_MAPS if shape and isinstance(shape[1], int) else Layout.ROWS


def _flatten_maps(call: Call, x: FeatureMap) -> TensorValue:
    return ops.reshape(materialise(x), call.shape)


def _rows_of_maps(_call: Call, maps: Any) -> TensorValue:
    return rows(maps)


def _expand(call: Call, x: TensorValue, *_: Any, **__: Any) -> TensorValue:
    padded = ops.reshape(x, [1] * (len(call.shape) - x.rank) + list(x.shape))
    return ops.broadcast_to(padded, call.shape)


def _cat(call: Call, parts: Any, dim: int = 0) -> Any:
    if call.maps:
        return concat(parts)
    parts = [part for part in _of_one_dtype(call, parts) if not (part.rank == 1 and part.shape[0] == 0)]
    return concatenated(parts, dim % parts[0].rank)


def concatenated(parts: list[TensorValue], axis: int) -> TensorValue:
    """Tensors of one dtype, one behind the other, by the kernels if they can."""
    is_empty = all(0 in part.shape for part in parts)
    made = joined(parts, axis) if on_kernels(parts[0]) and not is_empty else None
    return ops.concat(parts, axis=axis) if made is None else made


def _stack(call: Call, parts: Any, dim: int = 0) -> TensorValue:
    return ops.stack(_of_one_dtype(call, parts), axis=dim % (parts[0].rank + 1))


def _of_one_dtype(call: Call, parts: Any) -> list[TensorValue]:
    """The parts in the dtype of what is made of them."""
    dtype = DTYPES[call.node.meta["val"].dtype]
    return [part if part.dtype == dtype else ops.cast(part, dtype) for part in parts]


def _along_channels(node: fx.Node) -> Layout:
    """Of maps of one dtype, if it is about channels."""
    dim = arguments(node)["dim"]
    dtypes = {value.dtype for each in node.all_input_nodes if (value := tensor_of(each)) is not None}
    channels = isinstance(dim, int) and dim % 4 == 1 and _rank_4(node)
    return Layout.FOLLOWS if channels and len(dtypes) == 1 else Layout.ROWS


def _of_maps(node: fx.Node) -> Layout:
    return Layout.FOLLOWS if _rank_4(node) else Layout.ROWS


def _rank_4(node: fx.Node) -> bool:
    return all(rank(each) == 4 for each in node.all_input_nodes if tensor_of(each) is not None)


def _slice(call: Call, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    size = shape_of(call.node.args[0])[dim]
    part = slice(*slice(start, end, step).indices(size)) if isinstance(size, int) else slice(None, None, step)
    if not call.maps:
        return x[(slice(None),) * (dim % x.rank) + (part,)]
    if dim % 4 == 1 and step == 1:
        return x.take(part.start, part.stop - part.start)
    axis = TO_NHWC.index(dim % 4)
    return FeatureMap.of(materialise(x)[(slice(None),) * axis + (part,)])


def _select(call: Call, x: TensorValue, dim: int, index: int) -> TensorValue:
    dim %= x.rank
    place = [slice(None)] * x.rank
    place[dim] = slice(index, None if index == -1 else index + 1)
    return ops.reshape(x[tuple(place)], call.shape)


def _split_with_sizes(call: Call, x: Any, sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    if not call.maps:
        return tuple(ops.split(x, list(sizes), axis=dim % x.rank))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(x.take(start, size) for start, size in zip(starts, sizes, strict=True))


def _split(call: Call, x: Any, _size: Any, dim: int = 0) -> tuple[Any, ...]:
    sizes = [part.shape[dim] for part in call.node.meta["val"]]
    return _split_with_sizes(call, x, sizes, dim)


def _unbind(call: Call, x: TensorValue, dim: int = 0) -> tuple[TensorValue, ...]:
    dim %= x.rank
    shape = [size for i, size in enumerate(x.shape) if i != dim]
    parts = ops.split(x, [1] * len(call.node.meta["val"]), axis=dim)
    return tuple(ops.reshape(part, shape) for part in parts)


def _pad(call: Call, x: Any, pads: Any, value: float = 0) -> TensorValue:
    tensor = materialise(x) if call.maps else x
    sides = [(0, 0)] * (tensor.rank - len(pads) // 2) + list(zip(pads[-2::-2], pads[::-2], strict=True))
    if call.maps:
        sides = [sides[axis] for axis in TO_NHWC]
    edges = [each for side in sides for each in side]
    return ops.pad(tensor, edges, value=ops.constant(value, tensor.dtype, device()))


def _getitem(_call: Call, parts: Any, index: int) -> Any:
    return parts[index]


def _static_bounds(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if any(isinstance(given[name], fx.Node) for name in ("start", "end")):
        return "it ends at a size that is not static"
    size, start, end = shape_of(node.args[0])[given["dim"]], given["start"], given["end"]
    if isinstance(size, int):
        return None if range(size)[start:end] else "nothing is left of it"
    if start not in (None, 0) or (end is not None and end < END):
        return "the sliced dimension is not static"
    return None


def _static_parts(node: fx.Node, _program: Program) -> str | None:
    sizes = [shape_of(node.args[0]), *(tuple(part.shape) for part in node.meta["val"])]
    dim: Any = arguments(node)["dim"]
    if not all(isinstance(shape[dim], int) for shape in sizes):
        return "the divided dimension is not static"
    return None


def _flip(_call: Call, x: TensorValue, dims: Any) -> TensorValue:
    for dim in dims:
        axis = dim % x.rank
        backwards = np.arange(int(x.shape[axis]) - 1, -1, -1)
        x = ops.gather(x, ops.constant(backwards, DType.int64, device()), axis)
    return x


def _roll(_call: Call, x: TensorValue, shifts: Any, dims: Any = ()) -> TensorValue:
    for shift, dim in zip(shifts, dims, strict=True):
        axis = dim % x.rank
        size = int(x.shape[axis])
        cut = -shift % size
        if cut:
            first, second = ops.split(x, [cut, size - cut], axis=axis)
            x = concatenated([second, first], axis)
    return x


def _static_dims(node: fx.Node, _program: Program) -> str | None:
    given = arguments(node)
    if node.target is aten.roll.default and not given["dims"]:
        return "it rolls a flattened tensor"
    shape = shape_of(node)
    return (
        None if all(isinstance(shape[dim], int) for dim in given["dims"]) else "its dimensions are not static"
    )


def _repeat(call: Call, x: TensorValue, repeats: Any) -> TensorValue:
    whole = ops.reshape(x, [1] * (len(repeats) - x.rank) + list(x.shape))
    for axis, count in enumerate(repeats):
        if count != 1:
            whole = concatenated([whole] * count, axis)
    return ops.reshape(whole, call.shape)


def _static_repeats(node: fx.Node, _program: Program) -> str | None:
    repeats: Any = node.args[1]
    return None if all(isinstance(each, int) and each > 0 for each in repeats) else "repeats are not static"


def _pads_refusal(node: fx.Node, _program: Program) -> str | None:
    pads: Any = node.args[1]
    if any(not isinstance(each, int) or each < 0 for each in pads):
        return "it cuts off, or its padding is not static"
    return None


_rows = partial(Rule, dtypes=ANY)
COPIED = "copies; of integers MAX"

RULES = [
    *(
        _rows(operation, _reshape)
        for operation in (
            aten.view.default,
            aten.unsqueeze.default,
            aten.squeeze.dims,
            aten.squeeze.dim,
            aten.squeeze.default,
        )
    ),
    _rows(aten.permute.default, _permute, layout=_layout_of_permute),
    Rule(fused.flatten_maps, _flatten_maps, "a view", Layout.MAPS),
    Rule(fused.rows_of_maps, _rows_of_maps, "a view, or copies", Layout.MAPS),
    _rows(aten.expand.default, _expand),
    _rows(aten.repeat.default, _repeat, COPIED, refuses=_static_repeats),
    _rows(
        aten.cat.default,
        _cat,
        f"a view of maps, else {COPIED}",
        layout=_along_channels,
        bf16=Bf16.FOLLOWS,
    ),
    _rows(aten.stack.default, _stack),
    _rows(
        aten.slice.Tensor,
        _slice,
        "a view of channels of maps, else MAX",
        layout=_of_maps,
        refuses=_static_bounds,
        bf16=Bf16.FOLLOWS,
    ),
    _rows(aten.select.int, _select),
    _rows(
        aten.split_with_sizes.default,
        _split_with_sizes,
        "a view of maps, else MAX",
        layout=_along_channels,
        refuses=_static_parts,
        bf16=Bf16.FOLLOWS,
    ),
    _rows(
        aten.split.Tensor,
        _split,
        "a view of maps, else MAX",
        layout=_along_channels,
        refuses=_static_parts,
        bf16=Bf16.FOLLOWS,
    ),
    _rows(aten.unbind.int, _unbind),
    _rows(operator.getitem, _getitem, layout=Layout.FOLLOWS, bf16=Bf16.FOLLOWS),
    Rule(aten.constant_pad_nd.default, _pad, layout=_of_maps, refuses=_pads_refusal),
    Rule(aten.flip.default, _flip, dtypes=FLOAT, refuses=_static_dims),
    Rule(aten.roll.default, _roll, "copies", dtypes=FLOAT, refuses=_static_dims),
]
