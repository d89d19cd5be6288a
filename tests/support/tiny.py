"""A network of the port's blocks that is small enough to be compiled in a test."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from yolo_max.model.architecture import expected_tensors, parse_architecture
from yolo_max.weights.load import Weights
from yolo_max.weights.meta import ModelMeta

TABLE = {
    "nc": 64,
    "backbone": [
        [-1, 1, "Conv", [64, 3, 2]],  # 0
        [-1, 1, "Conv", [64, 3, 2]],  # 1
        [-1, 1, "Conv", [64, 3, 2]],  # 2
    ],
    "head": [[[2], 1, "Detect", [64]]],  # 3: one level, stride 8
}
"""Every convolution of the head has 64 channels on both sides, so that few distinct ones are compiled."""


def tiny_weights(seed: int = 0, nc: int = 64) -> Weights:
    """Random weights for `TABLE`, scaled so that activations stay of the size of one."""
    table = {**TABLE, "nc": nc, "head": [[[2], 1, "Detect", [nc]]]}
    random = np.random.default_rng(seed)
    tensors = {
        name: (random.standard_normal(shape) / math.sqrt(math.prod(shape[:3]))).astype(np.float32)
        for name, shape in expected_tensors(parse_architecture(table)).items()
    }
    meta = ModelMeta.checked(
        names={i: f"class {i}" for i in range(nc)},
        nc=nc,
        imgsz=32,
        architecture=table,
        source="tiny.pt",
        source_sha256="0" * 64,
    )
    return Weights(
        tensors=tensors,
        meta=meta,
        path=Path("tiny.safetensors"),
        is_checkpoint=False,
        sha256="",
        stored_dtype="float32",
    )
