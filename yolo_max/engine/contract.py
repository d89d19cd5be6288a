"""The contract that both engines keep, so that all around them is shared."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.errors import UsageError


class Engine(Protocol):
    """Anything that turns pixels into the raw head: `MaxEngine`, `TorchEngine`, or one of your own.

    The head holds the DFL logits of the four sides of the box, then the class logits, for each of the A cells
    of strides 8, 16 and 32, each level row-major.

    One that wants to know what a call is for is a `DetectionEngine`.
    """

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` float32 ``[B, A, 4 * reg_max + nc]``."""
        ...


class DetectionEngine(Protocol):
    """An engine that has less to do if it is told what a call is for, as `MaxEngine`.

    Attributes:
        callers: How many threads should call it at once, for it to do most.
    """

    callers: int

    def __call__(
        self, batch: NDArray[np.uint8], *, shared: bool = False, least_logit: float = -math.inf
    ) -> NDArray[np.float32]:
        """As `Engine`.

        Args:
            batch: As for `Engine`.
            shared: Whether others call it beside this call.
            least_logit: Only cells with a class logit above this are of interest. Other cells may have box
                logits of 0 and class logits of minus infinity; with minus infinity here, none may.
        """
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
