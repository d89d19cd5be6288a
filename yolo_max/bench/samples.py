"""Images for a benchmark without any: drawn with a seed, and as hard to decode as photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

COUNT = 8
SIZES = ((480, 640), (640, 480), (427, 640), (720, 1280))


def draw_samples(folder: Path, seed: int = 0) -> list[Path]:
    """Writes a few JPEG files: smooth color, texture like that of photographs, and some shapes.

    Args:
        folder: Output folder; created if missing.
        seed: The same seed gives the same images.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(COUNT):
        height, width = SIZES[number % len(SIZES)]
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        texture = cv2.GaussianBlur(rng.normal(0, 40, image.shape).astype(np.float32), (0, 0), 1.2)
        image = np.clip(image + texture, 0, 255).astype(np.uint8)
        for _ in range(6):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            color = tuple(int(c) for c in rng.integers(0, 256, 3))
            cv2.circle(image, centre, int(rng.integers(15, 90)), color, -1, cv2.LINE_AA)
        path = folder / f"sample{number}.jpg"
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        paths.append(path)
    return paths
