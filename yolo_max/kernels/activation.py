"""Activations of convolutions."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    """Applied after the bias; the numbers are those of ``kernels/activation.mojo``.

    Formulas are PyTorch's. LEAKY_RELU takes one slope, PRELU one per output channel.
    """

    NONE = 0
    SILU = 1
    RELU = 2
    RELU6 = 3
    LEAKY_RELU = 4
    PRELU = 5
    HARD_SIGMOID = 6
    HARD_SWISH = 7
    SIGMOID = 8
    TANH = 9
    GELU = 10
    GELU_TANH = 11
