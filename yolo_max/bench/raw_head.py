"""PyTorch's module up to the raw head, for eager PyTorch and for the ONNX export.

Ultralytics' module also decodes boxes. No engine here does, so PyTorch and the export skip that step too.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

OPSET = 17


class RawHead(torch.nn.Module):  # type: ignore[misc]
    """uint8 ``[B, H, W, 3]`` RGB ``->`` raw head ``[B, 4 * reg_max + nc, A]``, cast and scaling included."""

    def __init__(self, module: Any) -> None:
        """Wraps a fused ``DetectionModel``, whose layers it shares."""
        super().__init__()
        self.layers = module.model
        self.dtype = next(module.parameters()).dtype

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Runs the layers like Ultralytics; permuted NHWC pixels are channels_last already."""
        x: Any = pixels.permute(0, 3, 1, 2).to(self.dtype) / 255
        outputs: list[Any] = []
        *layers, detect = self.layers
        for layer in layers:
            outputs.append(layer(_inputs(layer.f, x, outputs)))
            x = outputs[-1]
        maps = _inputs(detect.f, x, outputs)
        levels = [
            torch.cat([box(y), classes(y)], 1).flatten(2)
            for box, classes, y in zip(detect.cv2, detect.cv3, maps, strict=True)
        ]
        return torch.cat(levels, 2)


def _inputs(source: int | list[int], x: Any, outputs: list[Any]) -> Any:
    if isinstance(source, int):
        return x if source == -1 else outputs[source]
    return [x if i == -1 else outputs[i] for i in source]


def export_onnx(module: Any, path: Path) -> None:
    """Writes the network as ONNX with symbolic batch, height and width.

    Input ``pixels``, output ``head``, as `RawHead` has them.

    Args:
        module: A fused ``DetectionModel`` in float32.
        path: The file to write.
    """
    sizes = {0: "batch", 1: "height", 2: "width"}
    with warnings.catch_warnings():
        # The tracing exporter is deprecated; its successor needs another package for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            RawHead(module).eval(),
            (torch.zeros(1, 64, 96, 3, dtype=torch.uint8),),
            path,
            input_names=["pixels"],
            output_names=["head"],
            dynamic_axes={"pixels": sizes, "head": {0: "batch", 2: "anchors"}},
            opset_version=OPSET,
            dynamo=False,
        )
