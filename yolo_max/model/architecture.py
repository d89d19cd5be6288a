"""The architecture table that a checkpoint carries, resolved into layers with channels and arguments.

A YOLOv8 checkpoint says what network it holds as a table, ``[from, repeats, module, args]`` a row, with
factors for depth and width (Ultralytics, ``parse_model``). Everything here is plain arithmetic on that table:
nothing is allocated, and nothing heavy is imported, so an untrusted table is judged before it can do harm.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.row import (
    KNOWN_MODULES,
    MAX_CHANNELS,
    MAX_REPEATS,
    Row,
    Scale,
    convolutions,
    resolve,
)
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, some

MAX_LAYERS = 512
MAX_CLASSES = MAX_CHANNELS
MAX_REG_MAX = 64
MAX_FACTOR = 16.0
MAX_PARTS_NAMED = 8
REMEDY = "take a YOLOv8 detection model"
MAX_PARAMETERS = 250_000_000
"""Between three and four times YOLOv8x; 1 GB in float32."""


@dataclass(frozen=True)
class Layer:
    """One row of the table, resolved.

    Attributes:
        index: Position in the table; tensor names start with ``model.{index}.``.
        from_: Absolute indices of the layers it reads; -1 is the network's input image (layer 0 only).
        module: The block's name in the table: "Conv", "C2f", "SPPF", "nn.Upsample", "Concat", "Detect", ...
        copies: How many of this block follow one another; above 1, copy k is named ``model.{index}.{k}.``.
            (The repeats of a C2f are its own bottlenecks: see ``args``.)
        c_in: Channels of each input, one per entry of ``from_``; 0 when an unported layer hides them.
        c_out: Channels of the output (Detect: 4 * reg_max + nc).
        args: Arguments by name. Conv: kernel, stride. Bottleneck: hidden, shortcut. C2f: bottlenecks, hidden,
            shortcut. SPPF: kernel, hidden. nn.Upsample: scale. Concat: none. Detect: nc, reg_max, box_hidden,
            class_hidden. Padding is kernel // 2, the activation SiLU. Empty for a module not known here.
        unported: Arguments that Ultralytics allows and the port does not cover, e.g. ("groups=2",).
    """

    index: int
    from_: tuple[int, ...]
    module: str
    copies: int
    c_in: tuple[int, ...]
    c_out: int
    args: Mapping[str, int]
    unported: tuple[str, ...] = ()

    def prefixes(self) -> tuple[str, ...]:
        """What the tensor names of each copy start with, without the last dot: ``("model.4",)``."""
        if self.copies == 1:
            return (f"model.{self.index}",)
        return tuple(f"model.{self.index}.{k}" for k in range(self.copies))

    def convolutions(self) -> Iterator[tuple[str, int, int, int]]:
        """Its convolutions, every copy's, as (full name, kernel, input channels, output channels)."""
        for prefix in self.prefixes():
            for name, kernel, c_in, c_out in convolutions(self.module, self.args, self.c_in, self.c_out):
                yield f"{prefix}.{name}", kernel, c_in, c_out

    @property
    def parameters(self) -> int:
        """Number of weights and biases, once fused."""
        return sum(k * k * c_in * c_out + c_out for _, k, c_in, c_out in self.convolutions())


@dataclass(frozen=True)
class Architecture:
    """A whole network.

    Attributes:
        layers: Every layer, in order; the last one is the Detect head.
        nc: Number of classes.
        reg_max: Bins of the box distribution (DFL) per side.
        strides: Input pixels per cell at each level of the head, in the head's order.
        unported: What the table as a whole asks for beyond the port, e.g. ("activation nn.ReLU()",).
    """

    layers: tuple[Layer, ...]
    nc: int
    reg_max: int
    strides: tuple[int, ...]
    unported: tuple[str, ...] = ()

    def unsupported(self, supported: Collection[str] = KNOWN_MODULES) -> tuple[str, ...]:
        """What a port of the modules ``supported`` cannot run: each kind of block once, with its layers."""
        layers: dict[str, list[str]] = {}
        for layer in self.layers:
            if layer.module not in supported:
                layers.setdefault(layer.module, []).append(str(layer.index))
            elif layer.unported:
                layers.setdefault(f"{layer.module} with {', '.join(layer.unported)}", []).append(
                    str(layer.index)
                )
        kinds = (f"{kind} (layer{'s'[: len(at) - 1]} {', '.join(at)})" for kind, at in layers.items())
        return (*self.unported, *kinds)

    def require(self, supported: Collection[str] = KNOWN_MODULES) -> None:
        """Refuses a table that asks for more than a port of the modules ``supported`` covers.

        Raises:
            WeightsError: Names what is not ported. The message is a sentence without its subject, the file.
        """
        if problems := self.unsupported(supported):
            parts = some(problems, MAX_PARTS_NAMED)
            raise WeightsError(f"holds a network with parts that are not ported: {parts}; {REMEDY}")


def parse_architecture(table: Mapping[str, Any], nc: int | None = None) -> Architecture:
    """Resolves a checkpoint's architecture table.

    Args:
        table: The checkpoint's own ``yaml``: backbone, head, nc, and scales with scale, or depth_multiple and
            width_multiple.
        nc: Number of classes, where it is not the table's.

    Returns:
        The network. Modules that are not known here are recorded, not refused: see `Architecture.require`.

    Raises:
        WeightsError: The table makes no sense or is beyond the limits of this module.
    """
    if not isinstance(table, Mapping):
        raise WeightsError(f"the architecture table is {shorten(table)}, not a mapping.")
    nc = _whole(table.get("nc") if nc is None else nc, "class count", 1, MAX_CLASSES)
    reg_max = _whole(table.get("reg_max", 16), "reg_max", 1, MAX_REG_MAX)
    scale = table_scale(table)
    layers: list[Layer] = []
    for index, row in enumerate(_rows(table)):
        layers.append(_layer(index, row, layers, nc, reg_max, scale))
    if all(layer.module in KNOWN_MODULES for layer in layers):
        detect = [layer.index for layer in layers if layer.module == "Detect"]
        if detect != [len(layers) - 1]:
            raise WeightsError("the architecture table does not end in its one Detect layer.")
    architecture = Architecture(tuple(layers), nc, reg_max, _strides(layers), tuple(_unported(table)))
    count = sum(layer.parameters for layer in layers)
    if count > MAX_PARAMETERS:
        raise WeightsError(f"the architecture table asks for {count:,} parameters, over {MAX_PARAMETERS:,}.")
    return architecture


def expected_tensors(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the fused network's tensors, in the table's order.

    Filters are RSCF, ``(kh, kw, c_in, c_out)``; biases ``(c_out,)``. The DFL convolution of the head is a
    constant and not among them.

    Raises:
        WeightsError: The network has parts that are not ported.
    """
    architecture.require()
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in architecture.layers:
        for name, kernel, c_in, c_out in layer.convolutions():
            shapes[f"{name}.weight"] = (kernel, kernel, c_in, c_out)
            shapes[f"{name}.bias"] = (c_out,)
    return shapes


def _layer(index: int, row: Any, layers: list[Layer], nc: int, reg_max: int, scale: Scale) -> Layer:
    where = f"layer {index} of the architecture table"
    if not isinstance(row, list | tuple) or len(row) != 4 or not isinstance(row[3], list | tuple):
        raise WeightsError(f"{where} is {shorten(row)}, not [from, repeats, module, args].")
    module = row[2]
    if not isinstance(module, str) or not 0 < len(module) <= 64 or not module.isprintable():
        raise WeightsError(f"{where} names the module {shorten(module)}, which is no module's name.")
    from_ = _sources(index, row[0], module)
    repeats = scale.repeats(_whole(row[1], f"repeats in {where}", 1, MAX_REPEATS))
    repeats = _whole(repeats, f"scaled repeats in {where}", 1, MAX_REPEATS)
    c_in = tuple(layers[f].c_out if f >= 0 else 3 for f in from_)
    if module not in KNOWN_MODULES:
        return Layer(index, from_, module, 1, c_in, 0, {})
    if len(from_) > 1 and module not in ("Concat", "Detect"):
        raise WeightsError(f"{where}, {module}, reads {len(from_)} layers, but takes one input.")
    resolved = resolve(Row(index, module, repeats, row[3], c_in, nc, reg_max, scale))
    return Layer(index, from_, module, c_in=c_in, **vars(resolved))


def _sources(index: int, from_: Any, module: str) -> tuple[int, ...]:
    """The layers that layer ``index`` reads, as absolute indices; for layer 0 the image, -1."""
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


def _rows(table: Mapping[str, Any]) -> list[Any]:
    rows: list[Any] = []
    for part in ("backbone", "head"):
        section = table.get(part)
        if not isinstance(section, list | tuple):
            raise WeightsError(f"the architecture table has no list of layers under {part!r}.")
        rows.extend(section[: MAX_LAYERS + 1])
    if not 0 < len(rows) <= MAX_LAYERS:
        raise WeightsError(f"the architecture table has {len(rows)} or more layers, not 1 to {MAX_LAYERS}.")
    return rows


def table_scale(table: Mapping[str, Any]) -> Scale:
    """Factors from ``scales`` and ``scale``, or from the older ``depth_multiple`` and ``width_multiple``.

    Raises:
        WeightsError: They are missing or make no sense.
    """
    factors: Any = [table.get("depth_multiple", 1.0), table.get("width_multiple", 1.0), math.inf]
    if scales := table.get("scales"):
        if not isinstance(scales, Mapping):
            raise WeightsError(f"the architecture table's scales are {shorten(scales)}, not a mapping.")
        size = table.get("scale") or next(iter(scales))  # none named: the first, as Ultralytics does
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
    return Scale(depth, width, max_channels)


def _strides(layers: list[Layer]) -> tuple[int, ...]:
    """Input pixels per cell at each input of the Detect head; empty when unported layers hide them.

    A convolution of odd kernel k and padding k // 2 divides the size by its stride; upsampling doubles it.
    """
    stride: dict[int, Fraction | None] = {-1: Fraction(1)}
    for layer in layers:
        inputs = [stride[f] for f in layer.from_]
        first = inputs[0]
        if layer.module == "Detect":
            if None in inputs:
                return ()
            for value in inputs:
                if value is not None and (value.denominator != 1 or value > 1024):
                    raise WeightsError(
                        f"the head reads a level of stride {value}, not a whole one up to 1024."
                    )
            return tuple(int(value) for value in inputs if value is not None)
        if layer.module not in KNOWN_MODULES or layer.unported:
            first = None
        elif len(set(inputs)) > 1 and None not in inputs:
            raise WeightsError(
                f"layer {layer.index} ({layer.module}) of the architecture table joins levels of different "
                f"strides: {', '.join(map(str, inputs))}."
            )
        elif first is not None and layer.module == "Conv":
            first *= layer.args["stride"] ** layer.copies
        elif first is not None and layer.module == "nn.Upsample":
            first /= 2**layer.copies
        stride[layer.index] = first
    return ()


def _unported(table: Mapping[str, Any]) -> Iterator[str]:
    if (activation := table.get("activation")) and activation not in ("nn.SiLU()", "torch.nn.SiLU()"):
        yield f"activation {shorten(activation)}"
    if (channels := table.get("channels", table.get("ch", 3))) != 3:
        yield f"{shorten(channels)} input channels"
    if table.get("end2end"):
        yield "an end-to-end head"


def _whole(value: Any, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WeightsError(f"the architecture table's {what} is {shorten(value)}, not from {low} to {high}.")
    return value
