"""Holding the modules of a checkpoint against its architecture table.

The table decides what the port computes. A module that was saved with another stride, activation or
shortcut than its row says would give other results without any error, so every difference is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs import Layer
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten
from yolo_max.weights.checkpoint.safe_pickle import StandIn


def check_layer(layer: Layer, modules: Mapping[str, StandIn]) -> None:
    """Refuses a layer whose saved modules do something else than its row of the table.

    Args:
        layer: The row.
        modules: Every module of the checkpoint under its dotted name.

    Raises:
        WeightsError: Names the module and the attribute. The subject of the sentence, the file, is left out.
    """
    outer = modules.get(f"model.{layer.index}")
    sources = getattr(outer, "f", None)
    sources = tuple(sources) if isinstance(sources, list | tuple) else (sources,)
    absolute = tuple(s + layer.index if isinstance(s, int) and s < 0 else s for s in sources)
    _same(f"model.{layer.index}", "from", absolute, layer.from_)
    for path, kind, attributes, later in layer.saved():
        module = _module(modules, path, kind)
        for name, expected in attributes.items():
            _same(path, name, getattr(module, name, None), expected)
        for name, expected in later.items():
            _same(path, name, getattr(module, name, expected), expected)


def _module(modules: Mapping[str, StandIn], path: str, kind: str) -> StandIn:
    module = modules.get(path)
    if module is None or type(module).__name__ != kind:
        found = type(module).__name__ if module else "nothing"
        raise WeightsError(f"holds {found} as {path}, where its architecture table says {kind}")
    return module


def _same(path: str, what: str, value: Any, expected: Any) -> None:
    if isinstance(expected, tuple):  # sizes, of which PyTorch saves one for both sides, or each
        value = tuple(value) if isinstance(value, list | tuple) else (value,) * len(expected)
    if not _equal(value, expected):
        raise WeightsError(
            f"has {what} {shorten(value)} in {path}, where its architecture table says {shorten(expected)}"
        )


def _equal(value: Any, expected: Any) -> bool:
    """``value == expected`` where the value may be anything, even a tensor, which compares by element."""
    if isinstance(expected, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(expected)
        return same_length and all(map(_equal, value, expected))
    return isinstance(value, bool | int | float | str | None) and value == expected
