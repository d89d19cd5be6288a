"""The contract that both engines keep, so that all around them is shared."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import UsageError


class Engine(Protocol):
    """Anything that turns pixels into the raw head: `MaxEngine`, `TorchEngine`, or one of your own.

    The head holds the DFL logits of the four sides of the box, then the class logits, for each of the A cells
    of strides 8, 16 and 32, each level row-major.

    One that wants to know what a call is for is a `DetectionEngine`.
    """

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` float32 ``[B, A, 4 * reg_max + nc]``."""
        ...


class CellLogits(NamedTuple):
    """The rows of one image's raw head that can be of interest."""

    cells: NDArray[np.intp]
    """``[N]``, which of the A cells they are, ascending."""
    logits: NDArray[np.float32]
    """``[N, 4 * reg_max + nc]``."""


class DetectionEngine(Engine, Protocol):
    """An engine that has less to do if it is told what a call is for, as `MaxEngine`.

    Attributes:
        callers: How many threads should call it at once, for it to do most.
    """

    callers: int

    def candidates(
        self, batch: NDArray[np.uint8], least_logit: float, *, shared: bool = False
    ) -> list[CellLogits]:
        """The cells that can be detections.

        Args:
            batch: As for `Engine`.
            least_logit: All cells with a class logit above this, as float32, are wanted, and those with one
                that is no number; others may come with them.
            shared: Whether others call the engine beside this call.

        Returns:
            One for each image.
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
