"""The contract that both engines keep, so that all around them is shared."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Anything that turns pixels into the raw head: `MaxEngine`, `TorchEngine`, or one of your own.

    The head holds the DFL logits of the four sides of the box, then the class logits, for each of the A cells
    of strides 8, 16 and 32, each level row-major.
    """

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` float32 ``[B, A, 4 * reg_max + nc]``."""
        ...
