"""What is folded into the weights of convolutions and linear layers: batch norms, and constant factors.

In float64. PyTorch still runs the graph, and it computes the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.program import (
    Program,
    module_of,
    rank,
    replace_call,
    same_shape,
    stand_for,
    static_shape,
)

aten = torch.ops.aten
LARGEST = 2**20
"""Of a factor, so that weights stay far from float32's ends; the least is its inverse."""


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


def fold_factor(program: Program, node: fx.Node) -> None:
    """Multiplies weights with a constant factor of what they read, or of what they give."""
    if not _fold_into_readers(program, node) and node.target is aten.mul.Tensor:
        _fold_into_layer(program, node)


def _fold_into_readers(program: Program, node: fx.Node) -> bool:
    """Folds a number, such as pixels are divided by, into all layers that read the product."""
    x, factor = node.args[:2] if isinstance(node.args[0], fx.Node) else node.args[1::-1]
    if not isinstance(factor, int | float) or not 1 / LARGEST < abs(factor) < LARGEST:
        return False
    if not isinstance(x, fx.Node) or x.meta["val"].dtype != node.meta["val"].dtype:
        return False
    layers = list(node.users)
    if any(each.target not in (fused.conv2d, fused.linear) or node in each.args[1:] for each in layers):
        return False
    for layer in layers:
        name, weight = f"{layer.args[1].target}_{node.name}", program.constant(layer.args[1])
        assert weight is not None
        scaled = weight.double() * (1 / factor if node.target is aten.div.Tensor else factor)
        with program.graph.inserting_before(layer):
            layer.args = (x, program.add_constant(name, scaled.to(weight.dtype)), *layer.args[2:])
        stand_for(layer, node, layer)
    return bool(layers)


def _fold_into_layer(program: Program, node: fx.Node) -> None:
    """Folds a factor, of each output channel or of all, into the layer that it follows."""
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


def _flat(path: str) -> str:
    return path.replace(".", "_")
