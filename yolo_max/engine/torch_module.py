"""Ultralytics' module for a network, filled with its weights; nothing is unpickled.

Ultralytics evaluates texts of a table, so it is not given the file's: the table here is written from the
judged layers, and holds numbers and names of this module's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.architecture import Architecture, Layer
from yolo_max.support.errors import EngineError, WeightsError
from yolo_max.support.text import some
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.load import Weights, load_unfused

# Constants of the module and counters of training; every other tensor has to come from the weights.
_OWN = (".dfl.conv.weight", ".num_batches_tracked")


def build_module(weights: Weights) -> Any:
    """Ultralytics' detection module, in float32: unfused for a checkpoint, fused where its weights are.

    Args:
        weights: Loaded weights.

    Raises:
        WeightsError: A checkpoint is gone or not the same any more, or Ultralytics builds another network
            than the weights are for.
        EngineError: PyTorch or Ultralytics is not installed.
    """
    torch = import_torch()
    import_ultralytics()
    from ultralytics.nn.modules import Conv
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.torch_utils import fuse_conv_and_bn

    tensors, eps = _tensors(weights)
    module = DetectionModel(table_of(weights.meta.network()), verbose=False)
    module.names = dict(weights.meta.names)
    for name, part in module.named_modules():
        if isinstance(part, Conv) and f"{name}.bn" in eps:
            part.bn.eps = eps[f"{name}.bn"]
        elif isinstance(part, Conv):  # as `DetectionModel.fuse` does it
            part.conv = fuse_conv_and_bn(part.conv, part.bn)
            del part.bn
            part.forward = part.forward_fuse
    state = {name: torch.from_numpy(tensor.astype(np.float32, order="C")) for name, tensor in tensors.items()}
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"Ultralytics builds a network of other shapes: {error}") from error
    if wrong := [name for name in (*missing, *unexpected) if not name.endswith(_OWN)]:
        raise WeightsError(f"Ultralytics builds a network with other tensors: {some(wrong)}.")
    return module


def table_of(network: Architecture) -> dict[str, Any]:
    """A table for Ultralytics that says what each layer comes to, with nothing left to scale."""
    return {
        "nc": network.nc,
        "reg_max": network.reg_max,
        "activation": "torch.nn.SiLU()",
        "backbone": [_row(layer) for layer in network.layers[:-1]],
        "head": [_row(network.layers[-1])],
    }


def import_torch() -> Any:
    """PyTorch, imported when it is needed: running MAX does without.

    Raises:
        EngineError: It does not import.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineError(f"the PyTorch engine needs torch, which does not import: {error}.") from error
    return torch


def _tensors(weights: Weights) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """The weights as PyTorch has them, filters OIHW, and the eps of each BatchNorm that is not folded."""
    if weights.is_checkpoint:
        unfused = load_unfused(weights)
        return dict(unfused.tensors), dict(unfused.eps)
    tensors = weights.tensors.items()
    return {name: t.transpose(3, 2, 0, 1) if t.ndim == 4 else t for name, t in tensors}, {}


def _row(layer: Layer) -> list[Any]:
    args = layer.args
    arguments: list[Any]
    match layer.module:
        case "Conv":
            arguments = [layer.c_out, args["kernel"], args["stride"]]
        case "Bottleneck":
            arguments = [layer.c_out, bool(args["shortcut"]), 1, [3, 3], _expansion(layer)]
        case "C2f":
            arguments = [layer.c_out, bool(args["shortcut"]), 1, _expansion(layer)]
        case "SPPF":
            arguments = [layer.c_out, args["kernel"]]
        case "nn.Upsample":
            arguments = [None, args["scale"], "nearest"]
        case "Concat":
            arguments = [1]
        case "Detect":
            arguments = [args["nc"]]
        case module:
            raise WeightsError(f"layer {layer.index} of the network, {module}, is not ported.")
    sources = (
        layer.from_[0]
        if len(layer.from_) == 1 and layer.module not in ("Concat", "Detect")
        else [*layer.from_]
    )
    return [sources, args.get("bottlenecks", layer.copies), layer.module, arguments]


def _expansion(layer: Layer) -> float:
    """The ratio of hidden to output channels, with a half to spare: Ultralytics rounds the product down."""
    return (layer.args["hidden"] + 0.5) / layer.c_out
