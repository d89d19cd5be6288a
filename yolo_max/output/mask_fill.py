"""Masks on an image: a translucent fill with a smooth outline, so that overlapping objects can be told apart.

The blurred mask says how far each pixel is from the edge: across a straight edge it is the normal
distribution. A table turns that into opacity, without the steps of the mask's own pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.palette import Color
from yolo_max.tasks.marks import MaskMark
from yolo_max.tasks.rle import decode, window_of

FILL, OUTLINE = 0.4, 0.95
"""Opacity inside a mask, and along its edge."""
SMOOTHING = 1.0
"""Standard deviation of the blur in pixels of the mask; more where the outline needs it."""
TILE = 1024
"""Side of what is drawn at once, in pixels of the image."""


def fill_mask(canvas: NDArray[np.uint8], mark: MaskMark, line_width: float, color: Color) -> None:
    """Draws a mask on an image, in place.

    Args:
        canvas: uint8 [H, W, 3] BGR.
        mark: The mask.
        line_width: Of its outline in pixels.
        color: BGR.
    """
    window, top, left = window_of(decode(mark.counts, mark.size), mark.size)
    if not window.size:
        return
    x1, y1, x2, y2 = mark.xyxy
    scale = np.array([(x2 - x1) / mark.size[1], (y2 - y1) / mark.size[0]])
    # On a tiny image many pixels of the mask fall on one; two by two of them are enough.
    many = max(1, int(0.5 / scale.min()))
    coverage, top, left = _reduced(window, top, left, many)
    scale *= many
    # The table below knows distances of about two standard deviations.
    sigma = max(SMOOTHING, (line_width + 1) / (4 * scale.min()))
    margin = math.ceil(3 * sigma)
    opacity = _opacity(round(sigma * float(scale.mean()), 3), line_width)

    corner = np.array([left, top])
    # The mask's place in the image, with its blur.
    start = np.floor((corner - margin) * scale + (x1, y1)).astype(int)
    stop = np.ceil((corner + coverage.shape[::-1] + margin) * scale + (x1, y1)).astype(int)
    start, stop = np.maximum(start, 0), np.minimum(stop, canvas.shape[1::-1])
    for y in range(start[1], stop[1], TILE):
        for x in range(start[0], stop[0], TILE):
            tile = canvas[y : min(y + TILE, stop[1]), x : min(x + TILE, stop[0])]
            # The tile's first pixel, in pixels of the window.
            first = (np.array([x, y]) + 0.5 - (x1, y1)) / scale - 0.5 - corner
            blurred = _blurred(coverage, first, scale, sigma, (tile.shape[0], tile.shape[1]))
            alpha = opacity[blurred][..., None]
            tile[:] = (tile * (256 - alpha) + np.array(color, np.uint16) * alpha) >> 8


def _reduced(window: NDArray[np.bool_], top: int, left: int, many: int) -> tuple[NDArray[np.uint8], int, int]:
    """A window of a mask whose pixels are ``many`` times larger, 255 where covered, and its first pixel."""
    before = top % many, left % many
    behind = [-(start + side) % many for start, side in zip(before, window.shape, strict=True)]
    padded = np.pad(window.astype(np.uint8) * 255, list(zip(before, behind, strict=True)))
    height, width = padded.shape
    coverage = cv2.resize(padded, (width // many, height // many), interpolation=cv2.INTER_AREA)
    return np.asarray(coverage, np.uint8), top // many, left // many


def _blurred(
    coverage: NDArray[np.uint8],
    first: NDArray[np.float64],
    scale: NDArray[np.float64],
    sigma: float,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """The blurred mask at the pixels of a tile, 255 deep inside.

    Args:
        coverage: The mask, 255 inside.
        first: (x, y) of the tile's first pixel in it.
        scale: Pixels of the image per pixel of the mask, in x and y.
        sigma: Of the blur, in pixels of the mask.
        shape: (height, width) of the tile.
    """
    margin = math.ceil(3 * sigma) + 1
    start = np.floor(first).astype(int) - margin
    stop = np.ceil(first + shape[::-1] / scale).astype(int) + margin
    inside = np.clip([start, stop], 0, coverage.shape[::-1])
    part = coverage[inside[0, 1] : inside[1, 1], inside[0, 0] : inside[1, 0]]
    (before_x, before_y), (behind_x, behind_y) = inside[0] - start, stop - inside[1]
    part = cv2.copyMakeBorder(part, before_y, behind_y, before_x, behind_x, cv2.BORDER_CONSTANT)
    part = cv2.GaussianBlur(part, (0, 0), sigma)
    (x, y), (step_x, step_y) = first - start, 1 / scale
    blurred: NDArray[np.uint8] = cv2.warpAffine(
        part,
        np.array([[step_x, 0, x], [0, step_y, y]]),
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return blurred


@lru_cache
def _opacity(sigma: float, line_width: float) -> NDArray[np.uint16]:
    """Opacity in 256ths by the blurred mask, uint16 [256]; lengths are in pixels of the image."""
    unit = NormalDist()
    distance = np.array([sigma * unit.inv_cdf((value + 0.5) / 256) for value in range(256)])
    inside = np.clip(distance + 0.5, 0, 1)
    edge = np.clip((line_width + 1) / 2 - abs(distance), 0, 1)
    opacity: NDArray[np.uint16] = np.rint(256 * np.maximum(FILL * inside, OUTLINE * edge)).astype(np.uint16)
    return opacity
