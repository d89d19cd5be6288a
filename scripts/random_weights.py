"""Random weights for networks of Ultralytics, to measure speed with.

    python scripts/random_weights.py yolo11n yolo26n-seg --out runs/weights
    yolo-max bench -w runs/weights/yolo11n.pt

BatchNorm has the statistics of drawn images, so that activations are about as large as in a trained network.
That matters to speed as well: where they are far larger, many results of SiLU are denormal numbers (those of
arguments below -87), which processors are slow to multiply.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from networks import settle_batch_norms

from yolo_max.bench.samples import draw_samples
from yolo_max.images.read import read_image
from yolo_max.support.ultralytics_import import import_ultralytics

IMAGES = 4


def random_network(name: str, seed: int = 0) -> Any:
    """Ultralytics' model for the table of this name, ``yolo11n-seg`` say, with random weights.

    Raises:
        FileNotFoundError: Ultralytics has no such table.
    """
    import_ultralytics()
    from ultralytics import YOLO

    torch.manual_seed(seed)
    model = YOLO(f"{name}.yaml").model
    size = 224 if model.task == "classify" else 640
    model.args = {"imgsz": size, "task": model.task}
    settle_batch_norms(model, drawn_images(size))
    return model


def drawn_images(size: int) -> torch.Tensor:
    """``[B, 3, size, size]``, from 0 to 1: some that are as varied as photographs, and noise."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = [cv2.resize(read_image(path), (size, size)) for path in draw_samples(Path(folder))[:IMAGES]]
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    return torch.from_numpy(np.stack([*drawn, noise])).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", help="as Ultralytics names them: yolo11n, yolov8n-seg")
    parser.add_argument("--out", type=Path, default=Path("runs/weights"), help="folder for the .pt files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        path = options.out / f"{name}.pt"
        torch.save({"model": random_network(name, options.seed)}, path)
        print(path)


if __name__ == "__main__":
    main()
