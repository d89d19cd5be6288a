"""Which operations of PyTorch are activations that a convolution or a linear layer applies itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from yolo_max.convert.program import Program, arguments, shape_of
from yolo_max.kernels.activation import Activation

aten = torch.ops.aten
PLAIN = {
    aten.relu.default: Activation.RELU,
    aten.relu6.default: Activation.RELU6,
    aten.silu.default: Activation.SILU,
    aten.hardsigmoid.default: Activation.HARD_SIGMOID,
    aten.hardswish.default: Activation.HARD_SWISH,
    aten.sigmoid.default: Activation.SIGMOID,
    aten.tanh.default: Activation.TANH,
}
OTHERS = {
    aten.hardtanh.default,
    aten.gelu.default,
    aten.leaky_relu.default,
    aten.prelu.default,
    aten.elu.default,
    aten.mish.default,
    aten.softplus.default,
}
"""With arguments, or not known to the kernels."""


def is_activation(node: fx.Node) -> bool:
    """Whether a node is an activation, of its first argument."""
    return node.target in PLAIN or node.target in OTHERS


def activation_of(node: fx.Node, program: Program) -> tuple[Activation, float, Any] | None:
    """The activation that a node is, with its slope or slopes; None if it is none.

    Slopes of PReLU are a constant with one for each channel.
    """
    target = node.target
    if target in PLAIN:
        return PLAIN[target], 0.01, None
    if target is aten.hardtanh.default:
        given = arguments(node)
        limits = {(0, 6): Activation.RELU6}
        found = limits.get((given["min_val"], given["max_val"]))
        return None if found is None else (found, 0.01, None)
    if target is aten.gelu.default:
        exact = arguments(node)["approximate"] == "none"
        return Activation.GELU if exact else Activation.GELU_TANH, 0.01, None
    if target is aten.leaky_relu.default:
        return Activation.LEAKY_RELU, float(arguments(node)["negative_slope"]), None
    if target is aten.prelu.default:
        slopes, channels = program.constant(node.args[1]), shape_of(node)[1:2]
        if slopes is not None and slopes.numel() == 1:
            return Activation.LEAKY_RELU, float(slopes), None
        if slopes is not None and [*channels] == [slopes.numel()]:
            return Activation.PRELU, 0.01, node.args[1]
    return None
