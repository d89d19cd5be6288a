"""Operations with several results, or from inside PyTorch, as the plain ones that they are for inference."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import Program, arguments, rank, shape_of

aten = torch.ops.aten
Form = tuple[Any, tuple[Any, ...]]


def _convolution(given: dict[str, Any]) -> Form | None:
    if given["transposed"] or rank(given["input"]) != 4:
        return None
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    return aten.conv2d.default, tuple(given[name] for name in names)


def _layer_norm(given: dict[str, Any]) -> Form:
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    return aten.layer_norm.default, tuple(given[name] for name in names)


def _group_norm(given: dict[str, Any]) -> Form:
    names = ("input", "group", "weight", "bias", "eps")
    return aten.group_norm.default, tuple(given[name] for name in names)


def _norm_of_one(given: dict[str, Any]) -> Form | None:
    """A batch norm by the batch's own statistics, of a batch of one: so PyTorch writes instance norms."""
    batch, channels, *_ = shape_of(given["input"])
    if batch != 1 or not given["training"]:
        return None
    return aten.group_norm.default, (given["input"], channels, given["weight"], given["bias"], given["eps"])


def _instance_norm(given: dict[str, Any]) -> Form | None:
    channels = shape_of(given["input"])[1]
    if not given["use_input_stats"] or not isinstance(channels, int):
        return None
    return aten.group_norm.default, (given["input"], channels, given["weight"], given["bias"], given["eps"])


def _max_pool(given: dict[str, Any]) -> Form:
    names = ("self", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return aten.max_pool2d.default, tuple(given[name] for name in names)


def _max_pool3d(given: dict[str, Any]) -> Form:
    return aten.max_pool3d.default, _max_pool(given)[1]


def _embedding_bag(given: dict[str, Any]) -> Form | None:
    if given["mode"] == 2:
        return None
    names = ("per_sample_weights", "include_last_offset", "padding_idx")
    tensors = (given[name] for name in ("weight", "indices", "offsets"))
    return fused.embedding_bag, (*tensors, given["mode"] == 1, *(given[name] for name in names))


def _dropout(given: dict[str, Any]) -> Form | None:
    return None if given["train"] else (aten.alias.default, (given["input"],))


FORMS: Mapping[Any, Callable[[dict[str, Any]], Form | None]] = MappingProxyType(
    {
        aten.convolution.default: _convolution,
        aten._softmax.default: lambda given: (aten.softmax.int, (given["self"], given["dim"])),
        aten._log_softmax.default: lambda given: (aten.log_softmax.int, (given["self"], given["dim"])),
        aten._adaptive_avg_pool2d.default: lambda given: (
            aten.adaptive_avg_pool2d.default,
            (given["self"], given["output_size"]),
        ),
        aten.native_layer_norm.default: _layer_norm,
        aten.native_group_norm.default: _group_norm,
        aten._native_batch_norm_legit.no_stats: _norm_of_one,
        aten.instance_norm.default: _instance_norm,
        aten._embedding_bag.default: _embedding_bag,
        aten._embedding_bag_forward_only.default: _embedding_bag,
        aten.native_dropout.default: _dropout,
        aten.max_pool2d_with_indices.default: _max_pool,
        aten.max_pool3d_with_indices.default: _max_pool3d,
    }
)
"""How each is written plainly; None where it is something else."""


def use_plain_forms(program: Program) -> None:
    """Writes operations plainly whose first result alone is read."""
    for node in list(program.calls()):
        if node.target not in FORMS:
            continue
        several = isinstance(node.meta["val"], tuple | list)
        reads = list(node.users)
        if several and any(each.target is not operator.getitem or each.args[1] != 0 for each in reads):
            continue
        if (form := FORMS[node.target](arguments(node))) is None:
            continue
        with program.graph.inserting_before(node):
            made = program.graph.call_function(*form)
        made.meta = {**node.meta, "val": node.meta["val"][0] if several else node.meta["val"]}
        for each in reads if several else [node]:
            each.replace_all_uses_with(made)
            program.graph.erase_node(each)
        if several:
            program.graph.erase_node(node)


def refusal(node: fx.Node, _program: Program) -> str:
    """Why an operation that is still there has no plain form."""
    if isinstance(node.meta["val"], tuple | list):
        return "it is in training mode, takes the largest, or more than its first result is read"
    return "it is transposed, not of maps, or reads statistics; use the functions of torch.nn.functional"
