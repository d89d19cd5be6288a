"""Images as files: in which format an annotated image is written, and writing it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import ImageError, UsageError

QUALITY = 95
_ENCODINGS: dict[str, tuple[str, list[int]]] = {
    ".jpg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jpe": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jfif": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".png": (".png", []),
    ".webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, QUALITY]),
    ".bmp": (".bmp", []),
    ".tif": (".tiff", []),
    ".tiff": (".tiff", []),
    ".jp2": (".jp2", []),
}


def annotated_name(name: str) -> str:
    """The file name of an annotated image: its own, in the format that its suffix says.

    What OpenCV cannot write (GIF, AVIF, MPO, no suffix or an unknown one) becomes a PNG, and says so by a
    second suffix: ``a.gif`` becomes ``a.gif.png``.
    """
    return name if Path(name).suffix.lower() in _ENCODINGS else f"{name}.png"


def encode_image(image_bgr: NDArray[np.uint8], suffix: str) -> bytes:
    """Encodes an image in the format of a suffix of `annotated_name`; JPEG and WebP at quality 95.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        suffix: Such as ".jpg", in any case.

    Raises:
        ImageError: The format cannot hold an image of this size (WebP ends at 16383 pixels a side).
        UsageError: There is no format of that suffix, or none that can be written.
    """
    if suffix.lower() not in _ENCODINGS:
        raise UsageError(
            f"images cannot be written as {suffix or 'files without a suffix'}; take {', '.join(_ENCODINGS)}."
        )
    format_suffix, parameters = _ENCODINGS[suffix.lower()]
    try:
        encoded, data = cv2.imencode(format_suffix, image_bgr, parameters)
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = image_bgr.shape[:2]
        raise ImageError(f"its annotated image of {width} x {height} pixels cannot be written as {suffix}")
    return data.tobytes()


def write_image(path: Path, image_bgr: NDArray[np.uint8]) -> None:
    """Writes an image in the format of the path's suffix (see `annotated_name`), atomically.

    Raises:
        ImageError: The format cannot hold the image.
        UsageError: There is no format of that suffix, or none that can be written.
        OutputError: The file cannot be written.
    """
    write_atomically(path, encode_image(image_bgr, path.suffix))
