"""What a convolution applies to its sums."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    """An activation behind the bias; the number is what ``kernels/activation.mojo`` knows it by."""

    NONE = 0
    SILU = 1
