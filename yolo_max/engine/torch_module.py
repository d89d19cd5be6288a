"""Ultralytics' module for a network, filled with its weights without unpickling anything.

Ultralytics evaluates strings of a table, so it is not given the file's: the table here is written from the
checked layers and has only numbers and names of our own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.architecture import Architecture
from yolo_max.model.specs import Layer
from yolo_max.support.errors import EngineError, WeightsError
from yolo_max.support.text import some
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.load import Weights, load_unfused

COUNTER = ".num_batches_tracked"
"""BatchNorm's counter of training steps."""


def build_module(weights: Weights) -> Any:
    """Ultralytics' module, in float32: unfused for a checkpoint, fused where its weights are.

    Its first layer normalises its input, where Ultralytics leaves that to a classifier's transforms.

    Args:
        weights: Loaded weights.

    Raises:
        WeightsError: The checkpoint is gone or has changed, or Ultralytics builds a different network.
        EngineError: PyTorch or Ultralytics is not installed.
    """
    torch = import_torch()
    import_ultralytics()
    from ultralytics.nn import tasks
    from ultralytics.nn.modules import Conv
    from ultralytics.nn.modules.block import RepVGGDW
    from ultralytics.nn.modules.conv import RepConv
    from ultralytics.utils.torch_utils import fuse_conv_and_bn

    network = weights.meta.network
    tensors, eps = _tensors(weights)
    module = getattr(tasks, network.ultralytics_model)(table_of(network), verbose=False)
    module.names = dict(weights.meta.names)
    head = module.model[-1]
    if hasattr(head, "cv3"):
        _choose_class_branches(head, network.head)
    module.end2end = not network.nms
    args = network.head.args
    if getattr(head, "one2one_cv2", None) is not None and not (args["end2end"] and args["one2many"]):
        head.fuse()  # which leaves one pair of branches, as in the file
    for name, part in module.named_modules():
        if isinstance(part, RepVGGDW) and f"{name}.conv.bn" not in eps:
            part.fuse()
            part.forward = part.forward_fuse
        elif isinstance(part, RepConv) and f"{name}.conv1.bn" not in eps:
            part.fuse_convs()
            part.forward = part.forward_fuse
        elif isinstance(part, Conv) and f"{name}.bn" in eps:
            part.bn.eps = eps[f"{name}.bn"]
        elif isinstance(part, Conv):  # as its own ``fuse`` does it
            part.conv = fuse_conv_and_bn(part.conv, part.bn)
            del part.bn
            part.forward = part.forward_fuse
    state = {name: torch.from_numpy(tensor.astype(np.float32, order="C")) for name, tensor in tensors.items()}
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"Ultralytics builds a network of other shapes: {error}") from error
    others = {name for name in (*missing, *unexpected) if not name.endswith(COUNTER)}
    others = {name for name in others if not name.startswith(network.only_in_training)}
    if wrong := sorted(others - network.constants().keys()):
        raise WeightsError(f"Ultralytics builds a network with other tensors: {some(wrong)}.")
    if network.normalization is not None:
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in network.normalization)
        module.model[0].register_forward_pre_hook(lambda _, given: (given[0] - mean) / std)
    return module


def table_of(network: Architecture) -> dict[str, Any]:
    """A table for Ultralytics with the resolved layers, so that nothing is left to scale."""
    return {
        "nc": network.nc,
        **network.facts,
        "activation": f"torch.nn.{network.activation}()",
        "backbone": [_row(layer) for layer in network.layers[:-1]],
        "head": [_row(network.layers[-1])],
    }


def _choose_class_branches(head: Any, layer: Layer) -> None:
    """Gives a head the class branches of its checkpoint; Ultralytics chooses them by the other rows."""
    from ultralytics.nn.modules import Detect, v10Detect

    args = layer.args
    legacy = not args["depthwise"]
    if isinstance(head, v10Detect) or head.legacy == legacy:
        return
    kind: Any = type("Detect", (Detect,), {"legacy": legacy})
    other = kind(args["nc"], args["reg_max"], bool(args["end2end"]), layer.c_in)
    for name in ("cv3", "one2one_cv3"):
        if hasattr(head, name):
            setattr(head, name, getattr(other, name))


def import_torch() -> Any:
    """PyTorch, imported only when needed: running on MAX does without.

    Raises:
        EngineError: It cannot be imported.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineError(f"the PyTorch engine needs torch, which does not import: {error}.") from error
    return torch


def _tensors(weights: Weights) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """The weights in PyTorch's layout (filters OIHW), and the eps of each BatchNorm not yet folded."""
    if weights.is_checkpoint:
        unfused = load_unfused(weights)
        return dict(unfused.tensors), dict(unfused.eps)
    tensors: dict[str, NDArray[Any]] = dict(weights.tensors)
    for each in weights.meta.network.convolutions():
        filters, bias = (tensors.pop(f"{each.name}.{part}", None) for part in ("weight", "bias"))
        saved = (None if filters is None else each.to_saved(filters), bias)
        own = zip(each.saved_names, saved, strict=False)  # a parameter has no bias
        tensors |= {name: tensor for name, tensor in own if tensor is not None}
    return tensors, {}


def _row(layer: Layer) -> list[Any]:
    sources = [*layer.from_] if layer.spec.joins else layer.from_[0]
    repeats = layer.args.get("bottlenecks", layer.copies)
    return [sources, repeats, layer.module, layer.spec.arguments(layer)]
