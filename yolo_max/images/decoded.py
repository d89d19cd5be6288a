"""Decoded: a frame as the decoder gives it, until its pixels are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.display import display_matrix, displayed, is_turned
from yolo_max.images.memory import HELD
from yolo_max.support.errors import ImageError

_BYTES_PER_PIXEL = 6
"""Of a frame that is worked on: decoded, as BGR, and drawn."""
_WITH_ALL_CHROMA = {"yuv420p": "yuv422p", "yuvj420p": "yuvj422p"}
"""The format of rows that each have chroma of their own."""


class Decoded:
    """A frame as the decoder gives it, in memory that is counted for as long as it lives."""

    def __init__(self, picture: Any, max_pixels: int) -> None:
        self._picture, self._max_pixels = picture, max_pixels
        HELD.hold(self, picture.width * picture.height * _BYTES_PER_PIXEL)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as displayed."""
        height, width = self._picture.height, self._picture.width
        matrix = display_matrix(self._picture)
        return (width, height) if matrix is not None and is_turned(matrix) else (height, width)

    def __call__(self, rows: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """Its pixels as displayed, uint8 [H, W, 3] BGR; or some of their rows alone.

        Raises:
            ImageError: They are more than allowed.
        """
        picture = self._picture
        if picture.width * picture.height > self._max_pixels:
            raise ImageError(too_large(picture.width, picture.height, self._max_pixels))
        matrix = display_matrix(picture)
        if rows is not None and matrix is None and _is_converted_row_by_row(picture, len(rows)):
            return _pixels(_part(picture, rows))
        pixels = _pixels(picture)
        pixels = pixels if matrix is None else displayed(pixels, matrix)
        return pixels if rows is None else pixels[rows]


def _is_converted_row_by_row(picture: Any, count: int) -> bool:
    """Whether some rows of a picture are converted to the bits that they have in the whole.

    FFmpeg converts 4:2:0 and 4:2:2 alike where the height is even, and elsewhere interpolates chroma.
    """
    return picture.format.name in _WITH_ALL_CHROMA and picture.height % 2 == count % 2 == 0


def _part(picture: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of a picture of 4:2:0 as one of 4:2:2."""
    import av

    part = av.VideoFrame(picture.width, len(rows), _WITH_ALL_CHROMA[picture.format.name])
    part.colorspace, part.color_range = picture.colorspace, picture.color_range
    for to, of, its_rows in zip(part.planes, picture.planes, (rows, rows // 2, rows // 2), strict=True):
        np.take(_plane(of), its_rows, axis=0, out=_plane(to), mode="clip")
    return part


def _plane(plane: Any) -> NDArray[np.uint8]:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _pixels(picture: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = picture.to_ndarray(format="bgr24", threads=1)
    return pixels


def too_large(width: int, height: int, max_pixels: int) -> str:
    """Why a frame is refused."""
    return f"its {width} x {height} pixels are more than the limit of {max_pixels:,} (max_pixels raises it)"
