"""The rows of an architecture table, each resolved by the spec of its block.

Plain arithmetic on untrusted values: nothing is allocated and nothing heavy imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from yolo_max.kernels.activation import Activation
from yolo_max.model.specs import Convolution, HeadSpec, Layer
from yolo_max.model.specs.row import MAX_REPEATS, Row, Scale, whole
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_LAYERS = 512
MAX_CONVOLUTIONS = 10_000
"""YOLO26x has under 500."""
MAX_FACTOR = 16.0
RENAMED = {"Silence": "nn.Identity"}
"""Blocks that PyTorch's own have replaced: YOLOv9e's before 2025."""
ACTIVATIONS = {
    "SiLU": Activation.SILU,
    "ReLU": Activation.RELU,
    "ReLU6": Activation.RELU6,
    "Hardswish": Activation.HARD_SWISH,
}
"""Those of a table that are ported, by PyTorch's names for them."""
_ACTIVATION = re.compile(r"(?:torch\.)?nn\.(\w+)\((?:(?:inplace ?= ?)?(?:True|False))?\)")


def rows_of(table: Mapping[str, Any]) -> list[Any]:
    """The rows of a table, unchecked.

    Raises:
        WeightsError: There are none, or too many.
    """
    rows: list[Any] = []
    for part in ("backbone", "head"):
        section = table.get(part)
        if not isinstance(section, list | tuple):
            raise WeightsError(f"the architecture table has no list of layers under {part!r}.")
        rows.extend(section[: MAX_LAYERS + 1])
    if not rows:
        raise WeightsError("the architecture table has no layers.")
    if len(rows) > MAX_LAYERS:
        raise WeightsError(f"the architecture table has {len(rows)} or more layers, not 1 to {MAX_LAYERS}.")
    return rows


class Budget:
    """Counts the convolutions of a table's layers, and stops where they become too many.

    A few rows can ask for millions: copies of a block that repeats another one.
    """

    def __init__(self) -> None:
        """Starts with none."""
        self._left = MAX_CONVOLUTIONS

    def take(self, layer: Layer) -> list[Convolution]:
        """The convolutions of the next layer.

        Raises:
            WeightsError: With those before it, they are more than `MAX_CONVOLUTIONS`.
        """
        found = list(islice(layer.convolutions(), self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise WeightsError(f"the architecture table has more than {MAX_CONVOLUTIONS:,} convolutions.")
        return found


def table_scale(table: Mapping[str, Any]) -> Scale:
    """Factors from ``scales`` and ``scale``, or from the older ``depth_multiple`` and ``width_multiple``.

    Raises:
        WeightsError: They are missing or invalid.
    """
    size: Any = table.get("scale")
    factors: Any = [table.get("depth_multiple", 1.0), table.get("width_multiple", 1.0), math.inf]
    if scales := table.get("scales"):
        if not isinstance(scales, Mapping):
            raise WeightsError(f"the architecture table's scales are {shorten(scales)}, not a mapping.")
        size = size or next(iter(scales))  # none named: the first, as Ultralytics does
        if not isinstance(size, str) or size not in scales:
            known = ", ".join(map(shorten, list(scales)[:10]))
            raise WeightsError(f"the architecture table has no scale {shorten(size)}; it has {known}.")
        factors = scales[size]
    if not isinstance(factors, list | tuple) or len(factors) != 3:
        raise WeightsError(
            f"the architecture table's scale {shorten(factors)} is not [depth, width, max_channels]."
        )
    depth, width, max_channels = factors
    for name, value, limit in (
        ("depth", depth, MAX_FACTOR),
        ("width", width, MAX_FACTOR),
        ("max_channels", max_channels, math.inf),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= limit:
            raise WeightsError(f"the architecture table's {name} is {shorten(value)}, not in (0, {limit}].")
    return Scale(depth, width, max_channels, size if isinstance(size, str) else "")


def table_activation(table: Mapping[str, Any]) -> str | None:
    """PyTorch's class of the activation that a table asks for, one of `ACTIVATIONS`; None for any other."""
    given = table.get("activation") or "nn.SiLU()"
    found = _ACTIVATION.fullmatch(given) if isinstance(given, str) else None
    return found[1] if found and found[1] in ACTIVATIONS else None


def unresolved(index: int, row: Any, layers: Sequence[Layer], scale: Scale) -> Layer:
    """One row of a table as far as it can be told for any module; its repeats are the copies.

    Args:
        index: Its position.
        row: The row, unchecked.
        layers: Those before it.
        scale: The table's.

    Raises:
        WeightsError: The row is not one, or does not read earlier rows.
    """
    where = f"layer {index} of the architecture table"
    if not isinstance(row, list | tuple) or len(row) != 4 or not isinstance(row[3], list | tuple):
        raise WeightsError(f"{where} is {shorten(row)}, not [from, repeats, module, args].")
    module = row[2]
    if not isinstance(module, str) or not 0 < len(module) <= 64 or not module.isprintable():
        raise WeightsError(f"{where} names the module {shorten(module)}, which is not a module's name.")
    module = RENAMED.get(module, module)
    from_ = _sources(index, row[0], module)
    repeats = scale.repeats(whole(row[1], f"repeats in {where}", 1, MAX_REPEATS))
    repeats = whole(repeats, f"scaled repeats in {where}", 1, MAX_REPEATS)
    return Layer(index, from_, module, repeats, tuple(layers[f].c_out if f >= 0 else 3 for f in from_), 0, {})


def resolve(
    index: int, row: Any, layers: Sequence[Layer], table: Mapping[str, Any], nc: int, scale: Scale
) -> Layer:
    """Resolves one row of a table, as `unresolved` takes it, by the spec of its block.

    Raises:
        WeightsError: The row makes no sense.
    """
    frame = unresolved(index, row, layers, scale)
    if not frame.ported:
        return replace(frame, copies=1)
    spec = frame.spec
    before = [layer.module for layer in layers]
    maps = [layers[f].maps if f >= 0 else () for f in frame.from_]
    parsed = Row(index, frame.module, frame.copies, row[3], frame.c_in, scale, table, nc, before, maps)
    if len(frame.from_) > 1 and not spec.joins:
        raise parsed.error(f"reads {len(frame.from_)} layers, but takes one input")
    if any(maps) and not spec.takes_maps:
        raise parsed.error("reads several maps at once, which only a CBFuse does")
    given = parsed.arguments(spec.signature)
    c_out, args, others = spec.resolve(parsed, given)
    copies = 1 if spec.repeats_inside else frame.copies
    chained = not (spec.joins or isinstance(spec, HeadSpec)) and frame.c_in[0] in (0, c_out)
    if copies > 1 and not chained:
        raise parsed.error(f"is repeated {copies} times, but its output cannot be its own input")
    names = [*(each.name for each in spec.signature if not each.covers(given[each.name])), *others]
    unported = tuple(f"{name}={shorten(given[name])}" for name in names)
    activation = table_activation(table) or frame.activation
    return replace(frame, copies=copies, c_out=c_out, args=args, unported=unported, activation=activation)


def _sources(index: int, from_: Any, module: str) -> tuple[int, ...]:
    """The inputs of layer ``index`` as absolute indices; -1 is the image, for layer 0 only."""
    entries = from_ if isinstance(from_, list | tuple) else (from_,)
    if not 0 < len(entries) <= MAX_LAYERS:
        raise WeightsError(f"layer {index} ({module}) of the architecture table reads {len(entries)} layers.")
    sources = []
    for entry in entries:
        absolute = entry
        if isinstance(entry, int) and not isinstance(entry, bool):
            absolute = entry + index if entry < 0 else entry
            if 0 <= absolute < index or (index == 0 and entry == -1):
                sources.append(absolute)
                continue
        raise WeightsError(
            f"layer {index} ({module}) of the architecture table reads from {shorten(entry)}, "
            "which is not an earlier layer."
        )
    return tuple(sources)
