"""Annotated images as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import ImageError, UsageError
from yolo_max.support.result_names import FORMATS

QUALITY = 95
_PARAMETERS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, QUALITY],
}


def encode_image(image_bgr: NDArray[np.uint8], suffix: str) -> bytes:
    """Encodes an image in the format of a suffix in `FORMATS`; JPEG and WebP at quality 95.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        suffix: Such as ".jpg", in any case.

    Raises:
        ImageError: The format cannot hold an image of this size (WebP: 16383 pixels per side).
        UsageError: Images cannot be written in the format of that suffix.
    """
    if suffix.lower() not in FORMATS:
        raise UsageError(
            f"images cannot be written as {suffix or 'files without a suffix'}; use {', '.join(FORMATS)}."
        )
    format_suffix = FORMATS[suffix.lower()]
    try:
        encoded, data = cv2.imencode(format_suffix, image_bgr, _PARAMETERS.get(format_suffix, []))
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = image_bgr.shape[:2]
        raise ImageError(f"its annotated image of {width} x {height} pixels cannot be written as {suffix}")
    return data.tobytes()


def shrunk(image_bgr: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """An image whose longer side has at most so many pixels."""
    height, width = image_bgr.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image_bgr
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: NDArray[np.uint8] = cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA)
    return small


def write_image(path: Path, image_bgr: NDArray[np.uint8]) -> None:
    """Writes an image in the format of the path's suffix (see `FORMATS`), atomically.

    Raises:
        ImageError: The format cannot hold the image.
        UsageError: Images cannot be written in the format of that suffix.
        OutputError: The file cannot be written.
    """
    write_atomically(path, encode_image(image_bgr, path.suffix))
