"""The network layer by layer, to find the first layer in which MAX and PyTorch diverge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.engine.max_engine import MaxEngine
from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.tasks.rubric import TensorDifference
from yolo_max.weights.load import Weights


def layer_differences(
    weights: Weights,
    batch: NDArray[np.uint8],
    *,
    kernels: str = "auto",
    precision: str = "f32",
    threads: int | None = None,
    report: Callable[[str], None] | None = None,
) -> list[TensorDifference]:
    """Measures every layer of MAX against PyTorch in float32, and in f32 both against PyTorch in float64.

    Args:
        weights: Loaded weights.
        batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed.
        kernels: "fused", "stock", or "auto" for fused kernels where they run.
        precision: "f32" or "bf16", of MAX.
        threads: Threads of each engine.
        report: Called with a sentence before each slow step.

    Returns:
        One difference per row of the architecture table, in its order; of the head, one per raw output.

    Raises:
        YoloMaxError: An engine cannot be created.
    """
    size = (batch.shape[1], batch.shape[2])
    engine = MaxEngine(
        weights,
        imgsz=size,
        batch=len(batch),
        device="cpu",
        kernels=kernels,
        precision=precision,
        threads=threads,
        every_layer=True,
        report=report,
    )
    ours = engine.layers(batch)
    reference = TorchEngine(weights, threads=threads)
    theirs = reference.layers(batch)
    exact: list[Any] = [None] * len(theirs)
    if precision == "f32":
        exact = TorchEngine(weights, threads=threads, precision="f64").layers(batch)
    return [
        TensorDifference.between(
            name, a, b, None if e is None else e.astype(np.float64, copy=False), precision
        )
        for name, a, b, e in zip(reference.layer_names, ours, theirs, exact, strict=True)
    ]
