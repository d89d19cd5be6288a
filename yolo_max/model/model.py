"""The whole network: the checkpoint's own architecture table, walked through one registry of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from max.dtype import DType
from max.graph import DeviceRef, Dim, DimLike, Graph, TensorType, TensorValue

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.architecture import Architecture
from yolo_max.model.attention import MaxC2PSA, MaxPSA
from yolo_max.model.backend import Backend, Head
from yolo_max.model.blocks import MaxBottleneck, MaxConcat, MaxConv, MaxSCDown, MaxSPP, MaxSPPF
from yolo_max.model.composite import MaxCBFuse, MaxCBLinear
from yolo_max.model.cross_stage import MaxA2C2f, MaxC2, MaxC2f, MaxC2fCIB, MaxC3, MaxC3k2
from yolo_max.model.elan import MaxAConv, MaxADown, MaxElan, MaxRepLink, MaxSPPELAN
from yolo_max.model.head import MaxClassify, MaxDetect, MaxPerBox, MaxPose26, MaxSegment
from yolo_max.model.max_nn import LayerList, Module, Sequential
from yolo_max.model.prototypes import MaxProto, MaxProto26
from yolo_max.model.specs import Layer
from yolo_max.model.specs.composite import starts
from yolo_max.model.specs.pyramid import pool_sizes
from yolo_max.model.table import ACTIVATIONS
from yolo_max.model.torch_layers import MaxIdentity, MaxMaxPool, MaxUpsample, MaxZeroPad

CLASSES = "classes"
"""The dimension of a graph that serves any number of classes."""

BLOCKS: dict[str, Callable[[Backend, Layer], Module]] = {
    "Conv": lambda b, row: MaxConv(
        b,
        row.c_in[0],
        row.c_out,
        row.args["kernel"],
        row.args["stride"],
        row.args["padding"],
        depthwise=bool(row.args["depthwise"]),
        activation=_activation(row),
    ),
    "SCDown": lambda b, row: MaxSCDown(b, row.c_in[0], row.c_out, row.args["kernel"], row.args["stride"]),
    "Bottleneck": lambda b, row: MaxBottleneck(
        b, row.c_in[0], row.c_out, row.args["hidden"], bool(row.args["shortcut"])
    ),
    "C2": lambda b, row: MaxC2(b, *_cross_stage(row)),
    "C2f": lambda b, row: MaxC2f(b, *_cross_stage(row)),
    "C3": lambda b, row: MaxC3(b, *_cross_stage(row)),
    "C3k2": lambda b, row: MaxC3k2(
        b, *_cross_stage(row), c3k=bool(row.args["c3k"]), attention=bool(row.args["attention"])
    ),
    "C2fCIB": lambda b, row: MaxC2fCIB(b, *_cross_stage(row), large_kernel=bool(row.args["large_kernel"])),
    "A2C2f": lambda b, row: MaxA2C2f(
        b,
        *_cross_stage(row),
        areas=row.args["areas"],
        mlp_hidden=row.args["mlp_hidden"],
        residual=bool(row.args["residual"]),
    ),
    "PSA": lambda b, row: MaxPSA(b, row.c_out, row.args["hidden"]),
    "C2PSA": lambda b, row: MaxC2PSA(b, row.c_out, row.args["hidden"], row.args["bottlenecks"]),
    "SPP": lambda b, row: MaxSPP(b, row.c_in[0], row.c_out, row.args["hidden"], pool_sizes(row)),
    "SPPF": lambda b, row: MaxSPPF(
        b,
        row.c_in[0],
        row.c_out,
        row.args["hidden"],
        row.args["kernel"],
        row.args["pools"],
        activation=_activation(row),
        shortcut=bool(row.args["shortcut"]),
    ),
    "ELAN1": lambda b, row: _elan(b, row, lambda c: MaxConv(b, c, row.args["inner"], 3)),
    "RepNCSPELAN4": lambda b, row: _elan(
        b, row, lambda c: MaxRepLink(b, c, row.args["inner"], row.args["chain"])
    ),
    "AConv": lambda b, row: MaxAConv(b, row.c_in[0], row.c_out),
    "ADown": lambda b, row: MaxADown(b, row.c_in[0], row.c_out),
    "SPPELAN": lambda b, row: MaxSPPELAN(b, row.c_in[0], row.c_out, row.args["hidden"], row.args["kernel"]),
    "CBLinear": lambda b, row: MaxCBLinear(b, row.c_in[0], row.c_out),
    "CBFuse": lambda b, row: MaxCBFuse(b, row.c_out, starts(row)),
    "nn.Upsample": lambda *_: MaxUpsample(),
    "nn.Identity": lambda *_: MaxIdentity(),
    "nn.MaxPool2d": lambda b, row: MaxMaxPool(b, row.args["kernel"], row.args["stride"], row.args["padding"]),
    "nn.ZeroPad2d": lambda b, row: MaxZeroPad(b, **row.args),
    "nn.ConvTranspose2d": lambda b, row: b.conv_transpose2d(row.c_in[0], row.c_out, row.args["scale"]),
    "Concat": lambda *_: MaxConcat(),
    "Classify": lambda b, row: MaxClassify(b, row.c_in[0], row.args["nc"], row.args["hidden"]),
    "Detect": lambda b, row: MaxDetect(b, row.c_in, **_detect(row)),
    "v10Detect": lambda b, row: MaxDetect(b, row.c_in, **_detect(row)),
    "Segment": lambda b, row: MaxSegment(
        b, row.c_in, *_per_box(row), MaxProto(b, row.c_in[0], *_prototypes(row)), **_detect(row)
    ),
    "Segment26": lambda b, row: MaxSegment(
        b, row.c_in, *_per_box(row), MaxProto26(b, row.c_in, *_prototypes(row)), **_detect(row)
    ),
    "Pose": lambda b, row: MaxPerBox(b, row.c_in, "keypoints", *_per_box(row), **_detect(row)),
    "Pose26": lambda b, row: MaxPose26(b, row.c_in, *_per_box(row), **_detect(row)),
    "OBB": lambda b, row: MaxPerBox(b, row.c_in, "angle", *_per_box(row), **_detect(row)),
    "OBB26": lambda b, row: MaxPerBox(b, row.c_in, "angle", *_per_box(row), **_detect(row)),
}
"""Module name in the table -> its block, built from the resolved row."""
READ_THE_IMAGE = ("Conv", "nn.Identity")
"""Blocks that take an image of bytes as it is."""


def _activation(row: Layer) -> Activation | None:
    """That of the network, or none."""
    return None if row.args["activated"] else Activation.NONE


def _detect(row: Layer) -> dict[str, Any]:
    """The arguments that all heads with boxes have, by the names of `MaxDetect`'s."""
    names = ("reg_max", "box_hidden", "class_hidden", "depthwise", "end2end", "one2many", "nms")
    return {"nc": _classes(row), **{name: row.args[name] for name in names}}


def _classes(row: Layer) -> int | Dim:
    """Number of classes, a dimension of the graph's inputs if the table does not say."""
    return row.args["nc"] or Dim(CLASSES)


def _per_box(row: Layer) -> tuple[int, int]:
    """Numbers for each box besides its sides and classes, and channels of the branch that gives them."""
    return row.args["per_box"], row.args["per_box_hidden"]


def _prototypes(row: Layer) -> tuple[int, int]:
    """Channels inside, and prototypes."""
    return row.args["prototype_hidden"], row.args["masks"]


def _elan(backend: Backend, row: Layer, link: Callable[[int], Module]) -> MaxElan:
    return MaxElan(backend, row.c_in[0], row.c_out, row.args["outer"], row.args["inner"], link)


def _cross_stage(row: Layer) -> tuple[int, int, int, int, bool]:
    """Channels in, out and inside, number of inner blocks, and whether they have shortcuts."""
    args = row.args
    return row.c_in[0], row.c_out, args["hidden"], args["bottlenecks"], bool(args["shortcut"])


class MaxYolo(Module):
    """The network of a table: ``model.<i>`` is row ``i``, as in the checkpoint."""

    def __init__(self, architecture: Architecture, backend: Backend) -> None:
        """Builds the blocks.

        Raises:
            WeightsError: The table has blocks that are not ported; the message names them all.
        """
        super().__init__()
        architecture.require(BLOCKS)
        self.architecture = architecture
        self.backend = backend
        self.model = LayerList([make_block(backend, layer) for layer in architecture.layers])

    def __call__(self, pixels: TensorValue) -> tuple[list[FeatureMap], Head]:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB ``->`` the map of each row of the table, and the head."""
        image = self.backend.image(pixels)
        if self.architecture.normalization is not None:  # before the padding, whose zeros are not normalised
            image = self.backend.normalise(image, *self.architecture.normalization)
        outputs: list[Any] = []
        for layer, block in zip(self.architecture.layers, self.model, strict=True):
            inputs = [image if source < 0 else outputs[source] for source in layer.from_]
            if layer.module not in READ_THE_IMAGE:
                inputs = [self.backend.values(x) for x in inputs]
            outputs.append(block(*inputs))
        *maps, head = outputs
        return maps, head

    def kernels(self) -> dict[str, ConvKernel]:
        """The kernel of each convolution on the fused kernels, by its name in the checkpoint."""
        found = {}
        for prefix, module in self.named_modules():
            kernel = getattr(module, "kernel", None)
            if isinstance(kernel, ConvKernel):
                found[prefix.removesuffix(".")] = kernel
        return found


def make_block(backend: Backend, layer: Layer) -> Module:
    """One row of the table; repeats become a sequence, as in Ultralytics' ``parse_model``."""
    backend.activation = ACTIVATIONS[layer.activation]
    copies = [BLOCKS[layer.module](backend, layer) for _ in range(layer.copies)]
    return copies[0] if layer.copies == 1 else Sequential(copies)


def build_graph(
    model: MaxYolo,
    batch: DimLike,
    height: DimLike,
    width: DimLike,
    *,
    device: DeviceRef,
    every_layer: bool = False,
) -> Graph:
    """Traces the network from pixels to raw outputs.

    Args:
        model: The network.
        batch: Images per batch: a number, or a name for a symbolic dimension, like the next two.
        height: Height of the images, a multiple of the architecture's stride.
        width: Width of the images, likewise.
        device: Where it runs.
        every_layer: Whether to output the float32 map of each row of the table instead of the masks of
            candidates, to find the first layer that diverges.

    Returns:
        The graph. Its inputs are the pixels, then for a network of any number of classes a uint8 tensor of as
        many elements, whatever they are, then the backend's. Its outputs are the masks of candidates, if any,
        then those that the architecture names.
    """
    # Weights must be named by their paths in the tree before tracing.
    for path, weight in model.raw_state_dict().items():
        weight.name = path
    inputs = [TensorType(DType.uint8, [batch, height, width, 3], device)]
    if not model.architecture.nc:
        inputs.append(TensorType(DType.uint8, [CLASSES], device))
    inputs += model.backend.inputs
    with Graph("yolo", input_types=inputs, custom_extensions=list(model.backend.extensions)) as graph:
        maps, head = model(graph.inputs[0].tensor)
        before = [model.backend.tensor(y) for y in maps] if every_layer else head.candidates
        graph.output(*before, *(head.outputs[name] for name in model.architecture.outputs))
    return graph
