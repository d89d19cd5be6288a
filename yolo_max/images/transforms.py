"""How an image becomes the network's input, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.centre_crop import CentreCrop
from yolo_max.images.letterbox import Letterbox, Size


class Transform(Protocol):
    """Where one image lies in its canvas."""

    @property
    def canvas_size(self) -> Size:
        """(height, width) of the canvas in pixels."""
        ...

    @property
    def image_size(self) -> Size:
        """(height, width) of the image as displayed, in pixels."""
        ...

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the whole image on the canvas, in canvas pixels."""
        ...

    @property
    def rows(self) -> NDArray[np.intp] | None:
        """The rows of the image that suffice for `render`; None for all."""
        ...

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes, float32 ``[N, 4]``, from canvas pixels to image pixels, clipped to the image."""
        ...

    def render(self, image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The canvas, uint8 ``[*canvas_size, 3]`` **RGB**, of a uint8 BGR image of ``image_size``.

        It may be given `rows` of the image alone.
        """
        ...


Fit = Callable[[Size], Transform]
"""The transform of an image, from its (height, width)."""


def fit_of(
    name: str,
    canvas_size: Size,
    *,
    rect_stride: int | None = None,
    clip: bool = True,
    round_up: bool = False,
) -> Fit:
    """The transform of that name.

    Args:
        name: "letterbox" or "centre crop".
        canvas_size: (height, width) in pixels.
        rect_stride: Shrinks the canvas to the image's shape, to multiples of this many pixels, if the
            transform supports it; None for canvases of one size.
        clip: Whether boxes are clipped to the image on the way back.
        round_up: Whether a letterbox rounds resized sides up, as in validation.
    """
    if name == "centre crop":
        return lambda image_size: CentreCrop.fit(image_size, canvas_size)
    if rect_stride is None:
        return partial(Letterbox.fit, canvas_size=canvas_size, clip=clip, round_up=round_up)
    return partial(Letterbox.fit_rect, max_size=canvas_size, stride=rect_stride, clip=clip, round_up=round_up)
