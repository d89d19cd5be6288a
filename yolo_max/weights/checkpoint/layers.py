"""Checks the modules of a checkpoint against its architecture table.

The table decides what the port computes. A module saved with another stride, activation or shortcut than its
row says would silently give other results, so every difference is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs import Layer
from yolo_max.model.table import RENAMED
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, visible
from yolo_max.weights.checkpoint.calls import StandIn


def check_layer(layer: Layer, modules: Mapping[str, StandIn]) -> None:
    """Refuses a layer whose saved modules differ from its row of the table.

    Args:
        layer: The row.
        modules: Every module of the checkpoint by its dotted name.

    Raises:
        WeightsError: They differ; names the module and the attribute, in a sentence without its subject.
    """
    outer = modules.get(f"model.{layer.index}")
    sources = outer.get("f") if outer else None
    sources = tuple(sources) if isinstance(sources, list | tuple) else (sources,)
    absolute = tuple(s + layer.index if isinstance(s, int) and s < 0 else s for s in sources)
    _same(f"model.{layer.index}", "from", absolute, layer.from_)
    for path, kind, attributes, later in layer.saved():
        module = _module(modules, path, kind)
        for name, expected in attributes.items():
            _same(path, name, module.get(name), expected)
        for name, expected in later.items():
            _same(path, name, module.get(name, expected), expected)


def _module(modules: Mapping[str, StandIn], path: str, kind: str) -> StandIn:
    module = modules.get(path)
    if module is None or RENAMED.get(module.kind, module.kind).removeprefix("nn.") != kind:
        found = visible(module.kind) if module else "nothing"
        raise WeightsError(f"holds {found} as {path}, where its architecture table says {kind}")
    return module


def _same(path: str, what: str, value: Any, expected: Any) -> None:
    if isinstance(expected, tuple):  # sizes, which PyTorch saves as one number or one per side
        value = tuple(value) if isinstance(value, list | tuple) else (value,) * len(expected)
    if not _equal(value, expected):
        raise WeightsError(
            f"has {what} {shorten(value)} in {path}, where its architecture table says {shorten(expected)}"
        )


def _equal(value: Any, expected: Any) -> bool:
    """``value == expected`` for any value, even a tensor, which would compare by element."""
    if isinstance(expected, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(expected)
        return same_length and all(map(_equal, value, expected))
    return isinstance(value, bool | int | float | str | None) and value == expected
