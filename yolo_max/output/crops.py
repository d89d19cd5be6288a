"""Objects cut out of their image, as Ultralytics' ``save_one_box`` cuts them."""

from __future__ import annotations

from hashlib import sha256

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import ImageError
from yolo_max.tasks.marks import BoxMark

GAIN, PAD = 1.02, 10
"""What a box's sides are multiplied with, and the pixels that are added."""
MAX_BYTES, CUT = 255, 200
"""Of a file's or folder's name, and what is kept of a longer one."""
_PARAMETERS = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


def crop(image_bgr: NDArray[np.uint8], mark: BoxMark) -> NDArray[np.uint8]:
    """The part of an image in a box and a little around it; a rotated box is turned upright.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        mark: The box.

    Returns:
        uint8 [h, w, 3] BGR; without pixels, if the box is outside of the image.
    """
    xyxy = np.array(mark.xyxy, np.float32)
    if mark.corners:
        image_bgr = _upright(image_bgr, np.array(mark.corners, np.float32))
        xyxy = np.array([0, 0, image_bgr.shape[1], image_bgr.shape[0]], np.float32)
    centre, size = (xyxy[:2] + xyxy[2:]) / 2, xyxy[2:] - xyxy[:2]
    half = (size * np.float32(GAIN) + PAD) / 2
    limits = np.array([image_bgr.shape[1], image_bgr.shape[0]])
    left, top = (centre - half).astype(np.int64).clip(0, limits).tolist()
    right, bottom = (centre + half).astype(np.int64).clip(0, limits).tolist()
    return image_bgr[top:bottom, left:right]


def _upright(image_bgr: NDArray[np.uint8], corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A rotated box at its own size, black where it is outside of the image."""
    width, height = (max(round(float(np.linalg.norm(corners[0] - corners[i]))), 1) for i in (3, 1))
    there = np.array([[width, height], [width, 0], [0, 0]], np.float32)
    affine = cv2.getAffineTransform(corners[:3], there)
    turned: NDArray[np.uint8] = cv2.warpAffine(image_bgr, affine, (width, height))
    return turned


def encode_crop(image_bgr: NDArray[np.uint8]) -> bytes:
    """A crop as a JPEG of quality 95 with all of its colour, as Ultralytics writes it.

    Raises:
        ImageError: It is too large for one.
    """
    try:
        done, data = cv2.imencode(".jpg", image_bgr, _PARAMETERS)
    except cv2.error:
        done = False
    if not done:
        height, width = image_bgr.shape[:2]
        raise ImageError(f"a crop of {width} x {height} pixels cannot be written as a JPEG")
    return data.tobytes()


def folder_of(name: str) -> str:
    """The folder for crops of a class: its name, without what would lead elsewhere."""
    safe = "".join("_" if letter in "/\\\0" else letter for letter in name).strip()
    safe = f"_{safe}" if safe.strip(".") == "" else safe
    return fitting(safe)


def fitting(name: str, *, room: int = 0) -> str:
    """A name that file systems take, of 255 bytes at most: of a longer one the beginning, and a digest of it.

    Args:
        name: The name.
        room: Bytes that will be added to it.
    """
    data = name.encode(errors="surrogatepass")
    if len(data) + room <= MAX_BYTES:
        return name
    return f"{data[:CUT].decode(errors='ignore')}-{sha256(data).hexdigest()[:16]}"
