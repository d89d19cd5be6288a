"""The model in a checkpoint: found, its table, and its modules by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.metadata import plain

MAX_MODULES = 100_000
MAX_WRAPPERS = 4
WRAPPED = ("module", "_orig_mod", "model")
"""Attributes in which DistributedDataParallel, torch.compile and `YOLO` keep the model they wrap."""
MAX_DEPTH = 32
MAX_NAME = 100
"""Characters of a module's own name; a file may use one long name for every module."""


def model_of(content: Any) -> StandIn:
    """The model in a checkpoint: the moving average if there is one, as Ultralytics prefers.

    A model may also be saved by itself, or wrapped: by `YOLO`, for several GPUs, compiled.

    Raises:
        WeightsError: There is none; the message is a sentence without its subject, here and below.
    """
    if isinstance(content, StandIn):
        return _unwrapped(content)
    if not isinstance(content, dict):
        raise WeightsError(f"holds {shorten(content)}, not the dict of an Ultralytics checkpoint")
    for model in (content.get("ema"), content.get("model")):
        if isinstance(model, StandIn):
            return _unwrapped(model)
    raise WeightsError(
        f"holds no model, only {shorten(list(content))}; an Ultralytics checkpoint such as best.pt is "
        "needed, not a bare state dict"
    )


def _unwrapped(model: StandIn) -> StandIn:
    """The module with an architecture table, inside its wrappers."""
    inner = model
    for _ in range(MAX_WRAPPERS):
        if inner.get("yaml") is not None:
            return inner
        children = inner.get("_modules")
        held = [children.get(name) for name in WRAPPED] if isinstance(children, dict) else []
        held.append(inner.get("model"))  # an older `YOLO`, which was not a module itself
        inner = next((child for child in held if isinstance(child, StandIn)), inner)
    return model


def table_of(model: StandIn) -> dict[str, Any]:
    """The architecture table of a model, as plain values.

    Raises:
        WeightsError: It has none.
    """
    table = plain(model.get("yaml"))
    if not isinstance(table, dict):
        raise WeightsError("holds a model without an architecture table, so it is not an Ultralytics model")
    if "yaml_file" in table:  # a path on the machine that trained it
        table["yaml_file"] = PurePath(str(table["yaml_file"])).name
    return table


def walk(model: StandIn) -> Iterator[tuple[str, StandIn]]:
    """Every module by its dotted name ("model.0.conv"); an untrusted module may contain itself.

    Raises:
        WeightsError: They are nested without end, or have no usable names.
    """
    count = 0
    pending = [("", model, 0)]
    while pending:
        prefix, module, depth = pending.pop()
        children = module.get("_modules")
        for name, child in children.items() if isinstance(children, dict) else ():
            if not isinstance(child, StandIn) or (not prefix and name != "model"):
                continue  # None, or a loss that training left beside the network
            count += 1
            if depth == MAX_DEPTH or count > MAX_MODULES or not isinstance(name, str) or len(name) > MAX_NAME:
                raise WeightsError("holds modules nested without end, or without usable names")
            path = f"{prefix}.{name}" if prefix else name
            yield path, child
            pending.append((path, child, depth + 1))
