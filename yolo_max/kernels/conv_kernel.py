"""The kernels that a convolution can run on, and which one it takes."""

from __future__ import annotations

from enum import StrEnum

from yolo_max.kernels.precision import Precision


class Algorithm(StrEnum):
    """A kernel for convolutions (``kernels/table.mojo``); its value is what a cached graph says of itself."""

    STEM = "stem"
    DIRECT = "direct"
    WINOGRAD = "winograd"
    POLYPHASE = "polyphase"

    @classmethod
    def choose(cls, c1: int, k: int, s: int, precision: Precision) -> Algorithm:
        """The fastest one for ``c1`` input channels, a ``k`` x ``k`` kernel and stride ``s``.

        Stride 2 by phases saves a third of the multiplications, which bf16, at twice the products an
        instruction, gets by direct convolution.
        """
        if (c1, k, s) == (3, 3, 2):
            return cls.STEM
        if (k, s) == (3, 1):
            return cls.WINOGRAD
        if (k, s) == (3, 2) and precision is Precision.F32:
            return cls.POLYPHASE
        return cls.DIRECT
