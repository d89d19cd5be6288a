"""The picture while it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shapes.outlines import Mask, Points, Window, bounds
from shapes.textures import Image


@dataclass
class Canvas:
    """The image being drawn, who owns its pixels, and the scale of its details."""

    image: Image
    owner: NDArray[np.int32]
    unit: float

    def window(self, outline: Sequence[Points], margin: float) -> Window | None:
        """Rows and columns around an outline, within the image; None when there are none."""
        rows, columns = bounds(outline, margin)
        height, width = self.owner.shape
        y1, y2 = max(rows.start, 0), min(rows.stop, height)
        x1, x2 = max(columns.start, 0), min(columns.stop, width)
        return (slice(y1, y2), slice(x1, x2)) if x1 < x2 and y1 < y2 else None

    def blend(self, window: Window, mask: Mask, paint: Image, opacity: float = 1.0) -> None:
        """Lay `paint`, an image of the window's size, over the window where `mask` says."""
        weight = mask * np.float32(opacity / 255)
        self.image[window] = cv2.blendLinear(paint, self.image[window], weight, 1 - weight)
