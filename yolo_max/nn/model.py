"""The whole network: the checkpoint's own architecture table, walked through one registry of blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, DimLike, Graph, TensorType, TensorValue
from max.nn.layer import LayerList, Module
from max.nn.sequential import Sequential
from numpy.typing import NDArray

from yolo_max.architecture import Architecture, Layer
from yolo_max.nn.backend import Backend
from yolo_max.nn.blocks import MaxBottleneck, MaxC2f, MaxConcat, MaxConv, MaxSPPF, MaxUpsample
from yolo_max.nn.feature_map import FeatureMap
from yolo_max.nn.head import MaxDetect

BLOCKS: dict[str, Callable[[Backend, Layer], Module]] = {
    "Conv": lambda b, row: MaxConv(b, row.c_in[0], row.c_out, row.args["kernel"], row.args["stride"]),
    "Bottleneck": lambda b, row: MaxBottleneck(
        b, row.c_in[0], row.c_out, row.args["hidden"], bool(row.args["shortcut"])
    ),
    "C2f": lambda b, row: MaxC2f(
        b, row.c_in[0], row.c_out, row.args["hidden"], row.args["bottlenecks"], bool(row.args["shortcut"])
    ),
    "SPPF": lambda b, row: MaxSPPF(b, row.c_in[0], row.c_out, row.args["hidden"], row.args["kernel"]),
    "nn.Upsample": lambda *_: MaxUpsample(),
    "Concat": lambda *_: MaxConcat(),
    "Detect": lambda b, row: MaxDetect(
        b, row.c_in, row.args["nc"], row.args["reg_max"], row.args["box_hidden"], row.args["class_hidden"]
    ),
}
"""Module name in the table -> its block, built from the row's resolved channels and arguments."""


class MaxYolo(Module):
    """YOLOv8 as its table describes it: ``model.<i>`` is row ``i``, as in the checkpoint."""

    def __init__(self, architecture: Architecture, backend: Backend) -> None:
        """Builds the blocks.

        Raises:
            WeightsError: The table asks for blocks that are not ported; the message names them all.
        """
        super().__init__()
        architecture.require(BLOCKS)
        self.architecture = architecture
        self.backend = backend
        self.model = LayerList([_block(backend, layer) for layer in architecture.layers])

    def __call__(self, pixels: TensorValue) -> TensorValue:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` raw head, float32 ``[B, A, 4 * reg_max + nc]``."""
        return self.walk(pixels)[-1]

    def walk(self, pixels: TensorValue) -> list[Any]:
        """What every row of the table gives: a FeatureMap each, and the raw head from the last one."""
        image = self.backend.image(pixels)
        outputs: list[Any] = []
        for layer, block in zip(self.architecture.layers, self.model, strict=True):
            outputs.append(block(*(image if source < 0 else outputs[source] for source in layer.from_)))
        return outputs

    def pack(self, tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Lays out the checkpoint's tensors as this graph's weights, under the same names."""
        registry = {}
        for prefix, module in self.named_modules():
            if hasattr(module, "pack") and module is not self:
                packed = module.pack(tensors[f"{prefix}weight"], tensors[f"{prefix}bias"])
                registry.update({f"{prefix}{name}": value for name, value in packed.items()})
        return registry


def _block(backend: Backend, layer: Layer) -> Module:
    """One row of the table; a row that is repeated becomes a sequence, as in Ultralytics' ``parse_model``."""
    copies = [BLOCKS[layer.module](backend, layer) for _ in range(layer.copies)]
    return copies[0] if layer.copies == 1 else Sequential(copies)


def build_graph(
    model: MaxYolo, batch: DimLike, height: DimLike, width: DimLike, *, device: DeviceRef
) -> Graph:
    """Traces the network from pixels to raw head.

    Args:
        model: The network.
        batch: Images in a batch; a number, or a name for a symbolic dimension. The same goes for the next
            two.
        height: Rows of the letterboxed images, a multiple of the largest stride.
        width: Columns of the letterboxed images, likewise.
        device: Where it runs.
    """
    with _graph(model, "yolo", batch, height, width, device) as graph:
        graph.output(model(graph.inputs[0].tensor))
    return graph


def build_layer_graph(
    model: MaxYolo, batch: DimLike, height: DimLike, width: DimLike, *, device: DeviceRef
) -> Graph:
    """The same graph with one float32 output a row of the table, to find the first layer that diverges."""
    with _graph(model, "yolo_layers", batch, height, width, device) as graph:
        outputs = model.walk(graph.inputs[0].tensor)
        graph.output(*(model.backend.tensor(y) if isinstance(y, FeatureMap) else y for y in outputs))
    return graph


def _graph(
    model: MaxYolo,
    name: str,
    batch: DimLike,
    height: DimLike,
    width: DimLike,
    device: DeviceRef,
) -> Graph:
    # Names of weights must be their paths in the tree before anything is traced.
    for path, weight in model.raw_state_dict().items():
        weight.name = path
    pixels = TensorType(DType.uint8, [batch, height, width, 3], device)
    return Graph(name, input_types=[pixels], custom_extensions=list(model.backend.extensions))
