"""Holding the modules of a checkpoint against its architecture table.

The table decides what the port computes. A module that was saved with another stride, activation or
shortcut than its row says would give other boxes without any error, so every difference is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.architecture import Layer
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
    for name, kernel, _, _ in layer.convolutions():
        _check_convolution(modules, name, kernel, layer.args.get("stride", 1))
    for prefix in layer.prefixes():
        block = _module(modules, prefix, layer.module.removeprefix("nn."))
        match layer.module:
            case "Bottleneck":
                _same(prefix, "shortcut", getattr(block, "add", None), bool(layer.args["shortcut"]))
            case "C2f":
                for i in range(layer.args["bottlenecks"]):
                    inner = _module(modules, f"{prefix}.m.{i}", "Bottleneck")
                    _same(
                        f"{prefix}.m.{i}",
                        "shortcut",
                        getattr(inner, "add", None),
                        bool(layer.args["shortcut"]),
                    )
            case "SPPF":
                pool, kernel = _module(modules, f"{prefix}.m", "MaxPool2d"), layer.args["kernel"]
                _same_sizes(
                    pool, f"{prefix}.m", kernel_size=kernel, stride=1, padding=kernel // 2, dilation=1
                )
                _same(prefix, "number of pools", getattr(block, "n", 3), 3)  # not saved before 2025: always 3
                _same(prefix, "shortcut", getattr(block, "add", False), False)
            case "nn.Upsample":
                _same_sizes(block, prefix, scale_factor=layer.args["scale"])
                _same(prefix, "mode", getattr(block, "mode", None), "nearest")
                _same(prefix, "size", getattr(block, "size", None), None)
            case "Concat":
                _same(prefix, "axis", getattr(block, "d", None), 1)
            case "Detect":
                _same(prefix, "nc", getattr(block, "nc", None), layer.args["nc"])
                _same(prefix, "reg_max", getattr(block, "reg_max", None), layer.args["reg_max"])


def _check_convolution(modules: Mapping[str, StandIn], path: str, kernel: int, stride: int) -> None:
    convolution = _module(modules, path, "Conv2d")
    _same_sizes(convolution, path, kernel_size=kernel, stride=stride, padding=kernel // 2, dilation=1)
    _same(path, "groups", getattr(convolution, "groups", None), 1)
    _same(path, "padding mode", getattr(convolution, "padding_mode", None), "zeros")
    if path.endswith(".conv"):
        activation = modules.get(f"{path.removesuffix('conv')}act")
        _same(path, "activation", type(activation).__name__ if activation else None, "SiLU")


def _module(modules: Mapping[str, StandIn], path: str, kind: str) -> StandIn:
    module = modules.get(path)
    if module is None or type(module).__name__ != kind:
        found = type(module).__name__ if module else "nothing"
        raise WeightsError(f"holds {found} as {path}, where its architecture table says {kind}")
    return module


def _same_sizes(module: StandIn, path: str, **expected: int) -> None:
    """Compares sizes that PyTorch saves as a number or as a pair."""
    for name, size in expected.items():
        value = getattr(module, name, None)
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        _same(path, name, pair, (size, size))


def _equal(value: Any, expected: Any) -> bool:
    """``value == expected`` where the value may be anything, even a tensor, which compares by element."""
    if isinstance(expected, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(expected)
        return same_length and all(map(_equal, value, expected))
    return isinstance(value, bool | int | float | str | None) and value == expected


def _same(path: str, what: str, value: Any, expected: Any) -> None:
    if not _equal(value, expected):
        raise WeightsError(
            f"has {what} {shorten(value)} in {path}, where its architecture table says {shorten(expected)}"
        )
