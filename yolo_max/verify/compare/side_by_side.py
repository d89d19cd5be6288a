"""Pictures of a comparison: what the baseline found left, MAX right, disagreements in a third color."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.draw import draw
from yolo_max.output.palette import Color
from yolo_max.support.errors import ImageError
from yolo_max.verify.compare.comparison import ImageComparison

REFERENCE_COLOR: Color = (0x1F, 0x70, 0xD9)
MAX_COLOR: Color = (0xD6, 0x6F, 0x1F)
ALONE_COLOR: Color = (0x83, 0x1F, 0xD6)
"""BGR; the same colors as in the report."""

GAP = 8
THUMBNAIL_WIDTH = 720
THUMBNAIL_QUALITY = 72


def side_by_side(image_bgr: NDArray[np.uint8], comparison: ImageComparison) -> NDArray[np.uint8]:
    """Draws what both engines found on copies of an image, side by side.

    Args:
        image_bgr: uint8 [H, W, 3] BGR, the compared image.
        comparison: Its comparison.

    Returns:
        uint8 [H, 2 * W + GAP, 3] BGR.
    """
    only_max, only_reference = comparison.difference.alone
    halves = []
    for prediction, color, alone in (
        (comparison.reference, REFERENCE_COLOR, only_reference),
        (comparison.ours, MAX_COLOR, only_max),
    ):
        marks, lonely = prediction.marks(), set(alone.tolist())
        count = len(marks.boxes) + len(marks.lines)
        colors = [ALONE_COLOR if i in lonely else color for i in range(count)]
        halves.append(draw(image_bgr, marks, colors=colors))
    gap = np.full((image_bgr.shape[0], GAP, 3), 255, np.uint8)
    return np.hstack([halves[0], gap, halves[1]])


def thumbnail(picture: NDArray[np.uint8]) -> str:
    """A small copy of a picture, as a ``data:`` URL of a JPEG.

    Raises:
        ImageError: It cannot be encoded.
    """
    height, width = picture.shape[:2]
    if width > THUMBNAIL_WIDTH:
        height = max(1, round(height * THUMBNAIL_WIDTH / width))
        picture = cv2.resize(picture, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    if not encoded:
        raise ImageError(f"its thumbnail of {picture.shape[1]} x {height} pixels cannot be written as JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
