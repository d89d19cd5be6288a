"""Operations of lines ``[B, C, L]``, written with those of maps of one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.writer import Writer, many, window

aten = torch.ops.aten


def _line(write: Writer, x: Any, target: Any, *args: Any) -> fx.Node:
    return write(fused.as_lines, write(target, write(fused.as_maps, x), *args))


def _conv1d(write: Writer, given: dict[str, Any]) -> fx.Node:
    weight = write(aten.unsqueeze.default, given["weight"], 2)
    stride, dilation = ([1, *many(given[name], 1)] for name in ("stride", "dilation"))
    padding = given["padding"]
    target = aten.conv2d.padding if isinstance(padding, str) else aten.conv2d.default
    padding = padding if isinstance(padding, str) else [0, *many(padding, 1)]
    rest = (weight, given["bias"], stride, padding, dilation, given["groups"])
    return _line(write, given["input"], target, *rest)


def _conv_transpose1d(write: Writer, given: dict[str, Any]) -> fx.Node:
    weight = write(aten.unsqueeze.default, given["weight"], 2)
    stride, dilation = ([1, *many(given[name], 1)] for name in ("stride", "dilation"))
    padding, more = ([0, *many(given[name], 1)] for name in ("padding", "output_padding"))
    rest = (weight, given["bias"], stride, padding, more, given["groups"], dilation)
    return _line(write, given["input"], aten.conv_transpose2d.input, *rest)


def _max_pool1d(write: Writer, given: dict[str, Any]) -> fx.Node:
    k, s = window(given, 1)
    padding, dilation = ([first, *many(given[name], 1)] for name, first in (("padding", 0), ("dilation", 1)))
    rest = ([1, *k], [1, *s], padding, dilation, given["ceil_mode"])
    return _line(write, given["self"], aten.max_pool2d.default, *rest)


def _avg_pool1d(write: Writer, given: dict[str, Any]) -> fx.Node:
    k, s = window(given, 1)
    padding = [0, *many(given["padding"], 1)]
    rest = ([1, *k], [1, *s], padding, given["ceil_mode"], given["count_include_pad"])
    return _line(write, given["self"], aten.avg_pool2d.default, *rest)


def _adaptive_avg_pool1d(write: Writer, given: dict[str, Any]) -> fx.Node:
    size = [1, *many(given["output_size"], 1)]
    return _line(write, given["self"], aten.adaptive_avg_pool2d.default, size)


def _upsample1d(target: Any, write: Writer, given: dict[str, Any]) -> fx.Node:
    size = [1, write.node.meta["val"].shape[2]]
    scale = given["scale_factors"]
    corners = [given["align_corners"]] if "align_corners" in given else []
    rest = (None if scale else size, *corners, [1.0, *scale] if scale else None)
    return _line(write, given["input"], target, *rest)


FORMS: Mapping[Any, Callable[[Writer, dict[str, Any]], fx.Node]] = MappingProxyType(
    {
        aten.conv1d.default: _conv1d,
        aten.conv1d.padding: _conv1d,
        aten.conv_transpose1d.default: _conv_transpose1d,
        aten.max_pool1d.default: _max_pool1d,
        aten.avg_pool1d.default: _avg_pool1d,
        aten.adaptive_avg_pool1d.default: _adaptive_avg_pool1d,
        aten.upsample_nearest1d.vec: partial(_upsample1d, aten.upsample_nearest2d.vec),
        aten.upsample_linear1d.vec: partial(_upsample1d, aten.upsample_bilinear2d.vec),
    }
)
"""How each is written with operations of maps."""
