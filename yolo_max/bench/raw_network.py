"""PyTorch's module up to its raw outputs, for eager PyTorch and for the ONNX export.

Ultralytics' module also decodes them. No engine here does, so PyTorch and the export skip that step too.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from yolo_max.tasks.reference import Reference

OPSET = 17


class RawNetwork(torch.nn.Module):  # type: ignore[misc]
    """uint8 ``[B, H, W, 3]`` RGB ``->`` the raw outputs in PyTorch's layout, cast and scaling included."""

    def __init__(self, module: Any, reference: Reference) -> None:
        """Wraps a fused module of Ultralytics', whose layers it shares.

        Args:
            module: The module.
            reference: Of its task.
        """
        super().__init__()
        self.layers = module.model
        self.dtype = next(module.parameters()).dtype
        self.reference = reference

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Runs the layers like Ultralytics; permuted NHWC pixels are channels_last already."""
        x: Any = pixels.permute(0, 3, 1, 2).to(self.dtype) / 255
        outputs: list[Any] = []
        *layers, head = self.layers
        for layer in layers:
            outputs.append(layer(_inputs(layer.f, x, outputs)))
            x = outputs[-1]
        found = self.reference.of_head(head, _inputs(head.f, x, outputs))
        return tuple(found[name] for name in self.reference.outputs)


def _inputs(source: int | list[int], x: Any, outputs: list[Any]) -> Any:
    if isinstance(source, int):
        return x if source == -1 else outputs[source]
    return [x if i == -1 else outputs[i] for i in source]


def export_onnx(module: Any, reference: Reference, path: Path) -> None:
    """Writes the network as ONNX with symbolic batch, height and width.

    Input ``pixels``; outputs by name, as `RawNetwork` has them.

    Args:
        module: A fused module of Ultralytics' in float32.
        reference: Of its task.
        path: The file to write.
    """
    free = {name: {0: "batch", **each.free} for name, each in reference.outputs.items()}
    with warnings.catch_warnings():
        # The tracing exporter is deprecated; its successor needs another package for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            RawNetwork(module, reference).eval(),
            (torch.zeros(1, 64, 96, 3, dtype=torch.uint8),),
            path,
            input_names=["pixels"],
            output_names=list(free),
            dynamic_axes={"pixels": {0: "batch", 1: "height", 2: "width"}, **free},
            opset_version=OPSET,
            dynamo=False,
        )
