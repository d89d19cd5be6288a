"""Pictures that are no photographs: none looks like what a network has been trained on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

OPTIONS = ("--imgsz", "320", "--conf", "0.005")
"""For ``yolo-max compare``: a low threshold brings the network's least certain boxes into it."""


def _noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


ODD_PICTURES: dict[str, NDArray[np.uint8]] = {
    "black": np.zeros((240, 320, 3), np.uint8),
    "white": np.full((240, 320, 3), 255, np.uint8),
    "padding": np.full((240, 320, 3), 114, np.uint8),
    "one color": np.full((240, 320, 3), (20, 60, 200), np.uint8),
    "very dark": _noise(240, 320) // 32,
    "very bright": 255 - _noise(240, 320) // 32,
    "noise": _noise(240, 320),
    "gray noise": np.repeat(_noise(320, 240, 1), 3, 2),
    "black and white noise": np.repeat(_noise(320, 320, 1) // 128 * 255, 3, 2),
    "blocks": _noise(12, 16).repeat(20, 0).repeat(20, 1),
    "1 x 1": _noise(1, 1),
    "1 x 2": _noise(1, 2),
    "3 x 2": _noise(3, 2),
    "8 x 8": _noise(8, 8),
    "20 x 13": _noise(20, 13),
    "a row": _noise(1, 600),
    "a column": _noise(600, 1),
}
"""BGR."""


def write_odd_pictures(folder: Path) -> None:
    """Writes them as PNG into a folder that exists."""
    for name, picture in ODD_PICTURES.items():
        cv2.imwrite(str(folder / f"{name}.png"), picture)
