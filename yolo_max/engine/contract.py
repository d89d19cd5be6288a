"""The contract that both engines keep, so that all around them is shared."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.errors import UsageError


class Engine(Protocol):
    """Anything that turns pixels into the raw head: `MaxEngine`, `TorchEngine`, or one of your own.

    The head holds the DFL logits of the four sides of the box, then the class logits, for each of the A cells
    of strides 8, 16 and 32, each level row-major.

    One that does most when several threads call it at once is a `SharedEngine`.
    """

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` float32 ``[B, A, 4 * reg_max + nc]``."""
        ...


class SharedEngine(Protocol):
    """An engine that does most when several threads call it at once, as `MaxEngine` on the fused kernels.

    Attributes:
        callers: How many; 1 for an engine that only has the attribute.
    """

    callers: int

    def __call__(self, batch: NDArray[np.uint8], *, shared: bool = False) -> NDArray[np.float32]:
        """As `Engine`; ``shared`` says that others call beside this one."""
        ...


def require_pixels(batch: NDArray[np.uint8], stride: int) -> None:
    """Refuses what is no batch of letterboxed images.

    Args:
        batch: What an engine was given.
        stride: The network's largest, of which height and width must be multiples.

    Raises:
        UsageError: It is not uint8 ``[B, H, W, 3]``, is empty, or does not fit the network.
    """
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape:
        raise UsageError(
            f"the engine takes uint8 images [B, H, W, 3], not {batch.dtype} {list(batch.shape)}; "
            "letterbox them first."
        )
    height, width = batch.shape[1:3]
    if height % stride or width % stride:
        raise UsageError(
            f"images of {height} x {width} pixels do not fit the network; height and width must be "
            f"multiples of {stride}."
        )
