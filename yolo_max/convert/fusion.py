"""What one kernel computes, as one operation: activations and residuals fused with what they follow.

PyTorch still runs the graph, and it computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.activations import activation_of
from yolo_max.convert.attention import recognise_attention
from yolo_max.convert.folding import fold_batch_norms, fold_factor
from yolo_max.convert.program import (
    Program,
    arguments,
    rank,
    replace_call,
    same_shape,
    shape_of,
)
from yolo_max.convert.transposed import write_transposed
from yolo_max.convert.transposes import transpose_maps_first
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.window import pair

aten = torch.ops.aten
WITH_SLOPES = (Activation.LEAKY_RELU, Activation.PRELU)


def fuse_all(program: Program) -> None:
    """Folds batch norms and fuses what a kernel computes at once."""
    passes = (recognise_attention, make_fused, fold_batch_norms, fuse, transpose_maps_first)
    for each in passes:
        each(program)
        program.tidy()
    program.graph.lint()


def make_fused(program: Program) -> None:
    """Writes convolutions and linear layers as the operations that others are fused into."""
    for node in list(program.calls()):
        if node.target not in (*_MAKERS, aten.conv_transpose2d.input):
            continue
        if program.constant(arguments(node)["weight"]) is None:
            continue
        if node.target is aten.conv_transpose2d.input:
            write_transposed(program, node)
        else:
            replace_call(program, node, *_MAKERS[node.target](arguments(node)))


def _conv2d(given: dict[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    x, weight, bias = given["input"], given["weight"], given["bias"]
    stride, dilation = _pair(given["stride"]), _pair(given["dilation"])
    padding = padding_of(given["padding"], shape_of(weight)[2:], dilation)
    return fused.conv2d, (x, weight, bias, stride, padding, dilation, given["groups"])


def _linear(given: dict[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return fused.linear, (given["input"], given["weight"], given["bias"])


_MAKERS: dict[Any, Callable[[dict[str, Any]], tuple[Callable[..., Any], tuple[Any, ...]]]] = {
    aten.conv2d.default: _conv2d,
    aten.conv2d.padding: _conv2d,
    aten.linear.default: _linear,
}


def padding_of(padding: Any, kernel: Any, dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of PyTorch's padding: numbers, "valid" or "same"."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":  # an odd one goes below and to the right
        (top, bottom), (left, right) = (
            (total // 2, total - total // 2)
            for total in (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
        )
        return top, left, bottom, right
    rows, columns = _pair(padding)
    return rows, columns, rows, columns


def fuse(program: Program) -> None:
    """Fuses factors, activations and residuals into the convolution or linear layer that they follow."""
    for node in list(program.calls()):
        if (found := activation_of(node, program)) is not None:
            _fuse_activation(program, node, *found)
        elif node.target in (aten.mul.Tensor, aten.div.Tensor):
            fold_factor(program, node)
        elif node.target is aten.add.Tensor and arguments(node)["alpha"] == 1:
            _fuse_residual(program, node)
        elif node.target is aten.view.default:
            _fuse_flatten(program, node)


def _fuse_activation(
    program: Program, node: fx.Node, activation: Activation, slope: float, slopes: Any
) -> None:
    x = node.args[0]
    if not isinstance(x, fx.Node) or len(x.users) > 1:
        return
    if x.target is fused.linear:
        if x.args[3:] or activation in WITH_SLOPES:
            return
        args = (*x.args[:3], activation)
    elif x.target is fused.conv_transpose2d:
        if x.args[5:]:
            return
        args = (*x.args[:5], activation, slope, slopes)
    elif x.target is fused.conv2d:
        before, _, _, residual, _ = conv_tail(x)
        if before is not Activation.NONE:
            return
        args = (*x.args[:7], activation, slope, slopes, residual, residual is not None)
    else:
        return
    replace_call(program, node, x.target, args, x)


def conv_tail(node: fx.Node) -> tuple[Any, ...]:
    """Activation, slope, slopes, residual and its place of a fused convolution."""
    defaults = (Activation.NONE, 0.01, None, None, False)
    given = node.args[7:]
    return (*given, *defaults[len(given) :])


def _fuse_residual(program: Program, node: fx.Node) -> None:
    for x, other in (node.args[:2], node.args[1::-1]):
        if (
            not isinstance(x, fx.Node)
            or x.target not in (fused.conv2d, fused.linear)
            or len(x.users) > 1
            or x is other
            or not same_shape(x, other)
            or not same_shape(x, node)
            or x.meta["val"].dtype != other.meta["val"].dtype
            or program.constant(other) is not None
        ):
            continue
        if x.target is fused.linear:
            if x.args[4:]:
                continue
            activation = x.args[3] if x.args[3:] else Activation.NONE
            replace_call(program, node, fused.linear, (*x.args[:3], activation, other), x)
            return
        activation, slope, slopes, residual, _ = conv_tail(x)
        if residual is None:
            replace_call(
                program, node, fused.conv2d, (*x.args[:7], activation, slope, slopes, other, False), x
            )
            return


def _fuse_flatten(program: Program, node: fx.Node) -> None:
    """Flattens maps as they lie in memory where linear layers alone read them, whose weights are permuted."""
    x = node.args[0]
    shape = shape_of(x)
    users = list(node.users)
    if (
        len(shape) != 4
        or rank(node) != 2
        or any(isinstance(size, torch.SymInt) for size in shape[1:])
        or shape[1] == 1
        or shape[2] * shape[3] == 1
        or shape_of(node)[1] != math.prod(shape[1:])
        or not users
        or any(
            user.target is not fused.linear or user.args[0] is not node or node in user.args[1:]
            for user in users
        )
    ):
        return
    for user in users:
        weight = program.constant(user.args[1])
        assert weight is not None
        permuted = weight.reshape(-1, *shape[1:]).permute(0, 2, 3, 1).reshape(weight.shape)
        with program.graph.inserting_before(user):
            user.args = (
                node,
                program.add_constant(f"{user.args[1].target}_of_maps", permuted),
                *user.args[2:],
            )
    replace_call(program, node, fused.flatten_maps, (x,))


def _pair(value: Any) -> tuple[int, int]:
    """Rows and columns of what PyTorch takes as one number, or as a list of one or two."""
    if isinstance(value, int):
        return pair(value)
    return (value[0], value[-1])
