"""Centre crop: the middle of an image, resized until it fills the canvas.

The pixels are those of Ultralytics' ``classify_transforms``: Pillow's antialiased bilinear resize of the
image's shorter side to that of the canvas, then the middle. Into a canvas that is not square the whole image
is resized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolo_max.images.letterbox import Size
from yolo_max.support.errors import ImageError

MAX_RESIZED_PIXELS = 100_000_000
"""Limit for the resized image, before the crop; only very narrow images come near it."""


@dataclass(frozen=True)
class CentreCrop:
    """Which part of an image fills its canvas.

    Attributes:
        canvas_size: (height, width) of the canvas, the network's input.
        image_size: (height, width) of the image as displayed.
        resized_size: (height, width) of the whole image, resized.
    """

    canvas_size: Size
    image_size: Size
    resized_size: Size
    rows: ClassVar[None] = None
    """All rows of an image are read."""

    @classmethod
    def fit(cls, image_size: Size, canvas_size: Size) -> Self:
        """Fills a canvas with the middle of an image.

        Raises:
            ImageError: The image is too narrow: resized, it would exceed `MAX_RESIZED_PIXELS`.
        """
        resized = canvas_size
        if canvas_size[0] == canvas_size[1]:
            side, shorter = canvas_size[0], min(image_size)
            height, width = (int(side * each / shorter) for each in image_size)
            resized = height, width
        if resized[0] * resized[1] > MAX_RESIZED_PIXELS:
            raise ImageError(f"its {image_size[1]} x {image_size[0]} pixels are too narrow to crop")
        return cls(canvas_size, image_size, resized)

    @property
    def offset(self) -> Size:
        """Rows and columns of the resized image above and left of the canvas."""
        top, left = (round((self.resized_size[i] - self.canvas_size[i]) / 2.0) for i in (0, 1))
        return top, left

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the whole resized image in canvas pixels, beyond the canvas."""
        (height, width), (top, left) = self.resized_size, self.offset
        return -left, -top, width - left, height - top

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps boxes, float32 [N, 4], from canvas pixels to image pixels and clips them to the image."""
        (height, width), (top, left) = self.image_size, self.offset
        gain = np.array([self.resized_size[1] / width, self.resized_size[0] / height] * 2, np.float32)
        boxes = (xyxy + np.array([left, top] * 2, np.float32)) / gain
        return np.clip(boxes, 0, np.array([width, height] * 2, np.float32), out=boxes)

    def render(self, image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resizes and crops the image.

        Args:
            image_bgr: uint8 [H, W, 3] BGR of ``image_size``.

        Returns:
            The canvas, uint8 [*canvas_size, 3] **RGB**, C-contiguous.

        Raises:
            ValueError: The image is not of that size and dtype.
        """
        if image_bgr.dtype != np.uint8 or image_bgr.shape != (*self.image_size, 3):
            raise ValueError(
                f"a centre crop needs a uint8 image of shape {(*self.image_size, 3)}, "
                f"not {image_bgr.dtype} {image_bgr.shape}."
            )
        resized = Image.fromarray(image_bgr).resize(self.resized_size[::-1], Image.Resampling.BILINEAR)
        (top, left), (height, width) = self.offset, self.canvas_size
        cropped = np.asarray(resized.crop((left, top, left + width, top + height)))
        return np.ascontiguousarray(cropped[:, :, ::-1])  # channels are resized independently
