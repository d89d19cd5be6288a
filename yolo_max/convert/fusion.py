"""What one kernel computes, as one operation: batch norms folded, activations and residuals fused.

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
from yolo_max.convert.program import (
    Program,
    arguments,
    module_of,
    rank,
    replace_call,
    same_shape,
    shape_of,
    static_shape,
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


def fold_batch_norms(program: Program) -> None:
    """Folds each batch norm into the convolution or linear layer before it, in float64, with its own eps.

    One that follows anything else becomes a depthwise convolution of one pixel, or of rows, two operations.
    """
    for node in list(program.calls()):
        if node.target is not aten._native_batch_norm_legit_no_training.default:
            continue
        x, gamma, beta, mean, variance, _, eps = node.args
        tensors = [None if each is None else program.constant(each) for each in (gamma, beta, mean, variance)]
        outputs = list(node.users)
        if tensors[2] is None or tensors[3] is None or [each.args[1] for each in outputs] != [0]:
            continue
        scale = (tensors[3].double() + eps).rsqrt()
        scale = scale if tensors[0] is None else scale * tensors[0].double()
        shift = -tensors[2].double() * scale + (0 if tensors[1] is None else tensors[1].double())
        _fold_affine(program, node, outputs[0], x, scale, shift)


def _fold_affine(
    program: Program, norm: fx.Node, output: fx.Node, x: Any, scale: torch.Tensor, shift: torch.Tensor
) -> None:
    path = module_of(norm) or norm.name
    dtype = x.meta["val"].dtype
    has_weights = x.target in (fused.conv2d, fused.conv_transpose2d, fused.linear)
    with program.graph.inserting_before(output):
        if has_weights and len(x.users) == 1 and (x.target is not fused.linear or rank(x) == 2):
            _fold_into_weights(program, norm, output, x, scale, shift)
        elif rank(x) == 4:
            args = (
                x,
                program.add_constant(f"{path}.scale", scale.reshape(-1, 1, 1, 1).to(dtype)),
                program.add_constant(f"{path}.shift", shift.to(dtype)),
                *((1, 1), (0, 0, 0, 0), (1, 1), len(scale)),
            )
            replace_call(program, output, fused.conv2d, args, norm)
        else:
            by_channel = [-1] + [1] * (rank(x) - 2)
            factor, term = (
                program.add_constant(f"{path}.{name}", each.reshape(by_channel).to(dtype))
                for name, each in (("scale", scale), ("shift", shift))
            )
            product = program.graph.call_function(aten.mul.Tensor, (x, factor))
            product.meta = dict(output.meta)
            replace_call(program, output, aten.add.Tensor, (product, term), norm)


def _fold_into_weights(
    program: Program, norm: fx.Node, output: fx.Node, x: Any, scale: torch.Tensor, shift: torch.Tensor
) -> None:
    """Puts a layer of other weights, which nothing follows yet, in the place of its output's."""
    path, dtype = module_of(norm) or norm.name, x.meta["val"].dtype
    weight, bias = program.constant(x.args[1]), program.constant(x.args[2])
    assert weight is not None
    axis = 1 if x.target is fused.conv_transpose2d else 0
    by_output = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    folded = shift if bias is None else shift + bias.double() * scale
    with program.graph.inserting_before(output):
        args = (
            x.args[0],
            program.add_constant(
                f"{x.args[1].target}_{_flat(path)}", (weight.double() * by_output).to(dtype)
            ),
            program.add_constant(f"{path}.bias_folded", folded.to(dtype)),
            *x.args[3:],
        )
    replace_call(program, output, x.target, args, x, norm)


def fuse(program: Program) -> None:
    """Fuses factors, activations and residuals into the convolution or linear layer that they follow."""
    for node in list(program.calls()):
        if (found := activation_of(node, program)) is not None:
            _fuse_activation(program, node, *found)
        elif node.target is aten.mul.Tensor:
            _fold_factor(program, node)
        elif node.target is aten.add.Tensor and arguments(node)["alpha"] == 1:
            _fuse_residual(program, node)
        elif node.target is aten.view.default:
            _fuse_flatten(program, node)


def _fold_factor(program: Program, node: fx.Node) -> None:
    """Multiplies weights with a constant factor, of each output channel or of all."""
    for x, factor in (node.args[:2], node.args[1::-1]):
        if not isinstance(x, fx.Node) or x.target not in (fused.conv2d, fused.linear) or len(x.users) > 1:
            continue
        is_conv = x.target is fused.conv2d
        number = isinstance(factor, int | float)
        value = torch.tensor(factor, dtype=torch.float64) if number else program.constant(factor)
        if x.args[7 if is_conv else 3 :] or value is None or not same_shape(x, node):
            continue
        channels = static_shape(x.args[1])[0]
        by_channel = (channels, 1, 1) if is_conv else (channels,)
        if value.numel() == 1 or value.shape == (*[1] * (value.ndim - len(by_channel)), *by_channel):
            scale = value.double().reshape(-1).expand(channels)
            _fold_into_weights(program, node, node, x, scale, torch.zeros(channels, dtype=torch.float64))
            return


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


def _flat(path: str) -> str:
    return path.replace(".", "_")
