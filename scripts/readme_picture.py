"""Put annotated images side by side: the picture at the top of README.md.

    make demo && python scripts/readme_picture.py runs/demo

The scenes are those of images/ whose shapes the bundled weights all find, and nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SCENES = ("shapes-07.png", "shapes-06.jpg", "shapes-03.png")
HEIGHT, GAP, QUALITY = 420, 12, 82


def row(images: Sequence[NDArray[np.uint8]], height: int = HEIGHT) -> NDArray[np.uint8]:
    """The images at one height, uint8 [height, W, 3], on white, `GAP` pixels between them."""
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for image in images:
        width = round(image.shape[1] * height / image.shape[0])
        parts += [gap, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)]
    return np.hstack(parts[1:])


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(description="Put annotated images side by side.")
    parser.add_argument("annotated", type=Path, help="where `yolo-max predict images` wrote its results")
    parser.add_argument("--out", type=Path, default=Path("docs/images/demo.jpg"))
    arguments = parser.parse_args()
    images = []
    for name in SCENES:
        image = cv2.imread(str(arguments.annotated / name))
        if image is None:
            parser.error(f"{arguments.annotated / name} is no image; run `make demo` first.")
        images.append(image)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    if not cv2.imwrite(str(arguments.out), row(images), options):
        parser.error(f"{arguments.out} cannot be written.")


if __name__ == "__main__":
    main()
