"""Activations of convolutions."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    """Applied after the bias; the numbers are those of ``kernels/activation.mojo``."""

    NONE = 0
    SILU = 1
