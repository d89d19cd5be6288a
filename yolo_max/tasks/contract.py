"""What all tasks have in common: the seam between what a network gives and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]
"""The raw outputs of one image, by name.

Detection: ``head``, float32 ``[N, 4 * reg_max + nc]``: DFL logits of the four sides, then class logits, of
each cell of ``cells``, intp ``[N]`` ascending; where that is absent, of all cells, level by level, each
row-major.
Classification: ``logits``, float32 ``[nc]``.
"""


class Placement(Protocol):
    """Where an image lies in the canvas that the network saw."""

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(height, width) of the canvas in pixels."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image as displayed, in pixels."""
        ...

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes, float32 ``[N, 4]``, from canvas pixels to image pixels, clipped to the image."""
        ...
