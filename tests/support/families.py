"""The networks of Ultralytics' tables that the port covers, and weights for them as training leaves them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import checkpoints
import torch

from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.load import Weights, load_weights

FAMILIES = {
    # name of the table: its sizes
    "yolov3{}": ["", "-spp", "-tiny"],
    "yolov5{}": "nsmlx",
    "yolov5{}-p6": "nx",
    "yolov6{}": "nsmlx",
    "yolov8{}": "nsmlx",
    "yolov8{}-p2": "nx",
    "yolov8{}-p6": "nx",
    "yolov8{}-cls": "nsmlx",
    "yolov9{}": "tsmce",
    "yolov9{}-seg": "ce",
    "yolov10{}": "nsmblx",
    "yolov8{}-seg": "nsmlx",
    "yolov8{}-seg-p6": "nx",
    "yolov8{}-pose": "nsmlx",
    "yolov8{}-pose-p6": "nx",
    "yolov8{}-obb": "nsmlx",
    "yolo11{}": "nsmlx",
    "yolo11{}-cls": "nsmlx",
    "yolo11{}-seg": "nsmlx",
    "yolo11{}-pose": "nsmlx",
    "yolo11{}-obb": "nsmlx",
    "yolo12{}": "nsmlx",
    "yolo12{}-cls": "nsmlx",
    "yolo12{}-seg": "nsmlx",
    "yolo12{}-pose": "nsmlx",
    "yolo12{}-obb": "nsmlx",
    "yolo26{}": "nsmlx",
    "yolo26{}-p2": "nx",
    "yolo26{}-p6": "nx",
    "yolo26{}-cls": "nsmlx",
    "yolo26{}-seg": "nsmlx",
    "yolo26{}-pose": "nsmlx",
    "yolo26{}-obb": "nsmlx",
}
NAMES = [family.format(size) for family, sizes in FAMILIES.items() for size in sizes]
SMALLEST = [
    family.format(sizes[0])
    for family, sizes in FAMILIES.items()
    if not family.startswith(("yolov3", "yolo12{}-", "yolov9{}-"))
]
"""One of each family that is small enough to be run in a test, and of each head."""


def table(name: str, **changes: Any) -> dict[str, Any]:
    """A table that comes with Ultralytics."""
    import_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    return {**yaml_model_load(f"{name}.yaml"), **changes}


def weights(path: Path, architecture: dict[str, Any], seed: int = 0) -> Weights:
    """A network through a `.pt`, its weights random: see `settle`."""
    model = checkpoints.model(architecture, seed)
    settle(model)
    path.write_bytes(checkpoints.checkpoint(model))
    return load_weights(path)


def settle(model: Any) -> None:
    """Gives every BatchNorm the statistics of what it reads, with variances from 0.007 to 2.7.

    Activations then neither vanish nor grow from layer to layer, and a wrong eps shows.
    """
    norms = [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(2, 3, 128, 128))
        for block in model.modules():
            if isinstance(getattr(block, "bn", None), torch.nn.BatchNorm2d):
                _spread(block.conv, block.bn)
    for norm, before in zip(norms, momentum, strict=True):
        norm.eval()
        norm.momentum = before


def _spread(conv: Any, norm: Any) -> None:
    """Scales filters, and with them what follows, so that the variances become any from 0.007 to 2.7."""
    low, high = math.log(0.007), math.log(2.7)
    wanted = torch.exp(torch.empty_like(norm.running_var).uniform_(low, high))
    factor = torch.sqrt(wanted / norm.running_var)
    conv.weight.mul_(factor.reshape(-1, 1, 1, 1))
    norm.running_mean.mul_(factor)
    norm.running_var.copy_(wanted)
