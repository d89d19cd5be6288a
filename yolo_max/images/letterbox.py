"""Letterbox: an image resized into a canvas with gray bars, and boxes mapped back to the image.

The geometry and the pixels are those of Ultralytics' ``LetterBox`` (``center=True, scaleup=True``,
bilinear, padding 114), so that both engines see what YOLOv8 was trained on. One resize and one
channel swap write straight into the canvas.

Ultralytics' validator resizes first, to sides rounded up, and then pads: that is the letterbox that measures
accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

PADDING_VALUE = 114

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in its canvas.

    Attributes:
        scale: Canvas pixels per image pixel, before the resized sides are rounded.
        pad_left: Columns of padding left of the image, in canvas pixels.
        pad_top: Rows of padding above the image, in canvas pixels.
        canvas_size: (height, width) of the canvas, the network's input.
        image_size: (height, width) of the image as displayed.
        clip: Whether `to_image` clips boxes to the image.
        round_up: Whether resized sides are rounded up, as in validation, and not to the nearest.
    """

    scale: float
    pad_left: int
    pad_top: int
    canvas_size: Size
    image_size: Size
    clip: bool = True
    round_up: bool = False

    @classmethod
    def fit(cls, image_size: Size, canvas_size: Size, *, clip: bool = True, round_up: bool = False) -> Self:
        """Centres an image of ``image_size`` in a canvas of exactly ``canvas_size`` (``auto=False``)."""
        scale = _scale(image_size, canvas_size)
        return cls._centred(scale, canvas_size, image_size, clip, round_up)

    @classmethod
    def fit_rect(
        cls, image_size: Size, max_size: Size, stride: int, *, clip: bool = True, round_up: bool = False
    ) -> Self:
        """Fits an image into ``max_size`` with as little padding as ``stride`` allows (``auto=True``).

        Args:
            image_size: (height, width) of the image in pixels.
            max_size: (height, width) limit for the canvas, multiples of ``stride``.
            stride: The largest stride of the network, in pixels.
            clip: See the attribute, like the next.
            round_up: Whether resized sides are rounded up.
        """
        scale = _scale(image_size, max_size)
        resized = _resized(image_size, scale, max_size, round_up)
        height, width = (resized[i] + (max_size[i] - resized[i]) % stride for i in (0, 1))
        return cls._centred(scale, (height, width), image_size, clip, round_up)

    @classmethod
    def _centred(cls, scale: float, canvas_size: Size, image_size: Size, clip: bool, round_up: bool) -> Self:
        resized = _resized(image_size, scale, canvas_size, round_up)
        # Of an odd remainder the smaller half comes first: Ultralytics' round(remainder / 2 - 0.1).
        pad_top, pad_left = ((canvas_size[i] - resized[i]) // 2 for i in (0, 1))
        return cls(scale, pad_left, pad_top, canvas_size, image_size, clip, round_up)

    @property
    def resized_size(self) -> Size:
        """(height, width) of the image inside the canvas; each side at least one pixel."""
        return _resized(self.image_size, self.scale, self.canvas_size, self.round_up)

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the image in canvas pixels."""
        height, width = self.resized_size
        return self.pad_left, self.pad_top, self.pad_left + width, self.pad_top + height

    @property
    def rows(self) -> NDArray[np.intp] | None:
        """The rows of the image that `render` reads, where it shrinks by a whole number; None for all.

        A bilinear sample lies between two rows, or on the middle one of an odd number.
        """
        height = self.resized_size[0]
        factor, rest = divmod(self.image_size[0], height)
        if rest or factor < 3:
            return None
        first = np.arange(height) * factor + (factor - 1) // 2
        return first if factor % 2 else np.stack([first, first + 1], axis=1).ravel()

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps boxes from canvas pixels to image pixels and, unless ``clip`` is off, clips them to the image.

        The gain is the ratio of the rounded sides, one per axis, as in ``ultralytics.utils.ops.scale_boxes``.

        Args:
            xyxy: float32 [N, 4] left, top, right, bottom in canvas pixels.

        Returns:
            float32 [N, 4] in image pixels; clipped, within [0, width] and [0, height].
        """
        (height, width), (resized_height, resized_width) = self.image_size, self.resized_size
        gain_x, gain_y = resized_width / width, resized_height / height
        boxes = xyxy - np.array([self.pad_left, self.pad_top] * 2, np.float32)
        boxes /= np.array([gain_x, gain_y] * 2, np.float32)
        return np.clip(boxes, 0, np.array([width, height] * 2, np.float32), out=boxes) if self.clip else boxes

    def to_canvas(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps boxes from image pixels to canvas pixels: the inverse of `to_image`, without clipping.

        Args:
            xyxy: float32 [N, 4] in image pixels.

        Returns:
            float32 [N, 4] in canvas pixels.
        """
        (height, width), (resized_height, resized_width) = self.image_size, self.resized_size
        gain_x, gain_y = resized_width / width, resized_height / height
        boxes = xyxy * np.array([gain_x, gain_y] * 2, np.float32)
        boxes += np.array([self.pad_left, self.pad_top] * 2, np.float32)
        return boxes

    def render(self, image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draws the image into its canvas.

        Args:
            image_bgr: uint8 [H, W, 3] BGR of ``image_size``; or of its rows `rows` alone.

        Returns:
            The canvas, uint8 [*canvas_size, 3] **RGB**, C-contiguous.

        Raises:
            ValueError: The image is not of that size and dtype.
        """
        rows = self.rows
        part = None if rows is None else (len(rows), self.image_size[1], 3)
        if image_bgr.dtype != np.uint8 or image_bgr.shape not in ((*self.image_size, 3), part):
            raise ValueError(
                f"letterbox needs a uint8 image of shape {(*self.image_size, 3)}, "
                f"not {image_bgr.dtype} {image_bgr.shape}."
            )
        canvas = np.empty((*self.canvas_size, 3), np.uint8)
        height, width = self.resized_size
        top, left = self.pad_top, self.pad_left
        bottom, right = top + height, left + width
        canvas[:top] = PADDING_VALUE
        canvas[bottom:] = PADDING_VALUE
        canvas[top:bottom, :left] = PADDING_VALUE
        canvas[top:bottom, right:] = PADDING_VALUE

        window = canvas[top:bottom, left:right]
        image = np.ascontiguousarray(image_bgr)
        # Channels are resized independently, so they are swapped on whichever side has fewer pixels.
        if self.scale > 1:
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            cv2.resize(rgb, (width, height), dst=window, interpolation=cv2.INTER_LINEAR)
        else:
            if (height, width) != image.shape[:2]:
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=window)
        return canvas


def letterbox(image_bgr: NDArray[np.uint8], canvas_size: Size) -> tuple[NDArray[np.uint8], Letterbox]:
    """Letterboxes one image into a canvas of a fixed size.

    Args:
        image_bgr: uint8 [H, W, 3] BGR, H and W at least 1.
        canvas_size: (height, width) of the canvas in pixels.

    Returns:
        The canvas, uint8 [*canvas_size, 3] **RGB**, and the geometry that maps boxes back with
        `Letterbox.to_image`.

    Raises:
        ValueError: The image has a wrong shape or dtype.
    """
    if image_bgr.ndim != 3 or 0 in image_bgr.shape:
        raise ValueError(f"letterbox needs an image of shape [H, W, 3], not {image_bgr.shape}.")
    geometry = Letterbox.fit((image_bgr.shape[0], image_bgr.shape[1]), canvas_size)
    return geometry.render(image_bgr), geometry


def _scale(image_size: Size, canvas_size: Size) -> float:
    if min(*image_size, *canvas_size) < 1:
        raise ValueError(f"A letterbox needs sides of at least 1 pixel, not {image_size} in {canvas_size}.")
    return min(canvas_size[0] / image_size[0], canvas_size[1] / image_size[1])


def _resized(image_size: Size, scale: float, limit: Size, round_up: bool) -> Size:
    """(height, width) of the resized image: rounded, at least a pixel; rounded up, at most ``limit``."""
    height, width = (side * scale for side in image_size)
    if round_up:  # ceil(h * (c / h)) may be c + 1
        return min(math.ceil(height), limit[0]), min(math.ceil(width), limit[1])
    return max(round(height), 1), max(round(width), 1)
