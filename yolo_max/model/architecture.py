"""The architecture table that a checkpoint carries, resolved into layers with channels and arguments.

A checkpoint describes its network as a table, one row ``[from, repeats, module, args]`` per layer, with
factors for depth and width (Ultralytics, ``parse_model``). Everything here is plain arithmetic on that table:
nothing is allocated and nothing heavy imported, so an untrusted table is checked before it can do harm.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple, cast

from numpy.typing import NDArray

from yolo_max.model.specs import SPECS, Convolution, HeadSpec, Layer
from yolo_max.model.specs.row import MAX_CHANNELS, MAX_KERNEL, whole
from yolo_max.model.table import Budget, resolve, rows_of, table_activation, table_scale
from yolo_max.support.errors import WeightsError
from yolo_max.support.parse import MAX_IMGSZ
from yolo_max.support.text import shorten, some

MAX_CLASSES = MAX_CHANNELS
MAX_PARTS_NAMED = 8
REMEDY = "use a YOLO26, YOLO12, YOLO11, YOLOv10, YOLOv9, YOLOv8, YOLOv6, YOLOv5u or YOLOv3u model"
MAX_PARAMETERS = 250_000_000
"""Between three and four times YOLOv8x; 1 GB in float32."""


class Normalization(NamedTuple):
    """What a network is given instead of pixels from 0 to 1: ``(pixel - mean) / std``, by channel, RGB."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Architecture:
    """A whole network.

    Attributes:
        layers: Every layer, in order; the last one is the head.
        nc: Number of classes; 0 for any number, known only when it runs.
        strides: Input pixels per cell at each level of the head, in the head's order; () if it has no levels.
        stride: Height and width of the input must be multiples of this.
        unported: Unsupported settings of the whole table, e.g. ("activation nn.ReLU()",).
        normalization: Of the pixels; None for none. It is not in the table: a checkpoint has it beside.
    """

    layers: tuple[Layer, ...]
    nc: int
    strides: tuple[int, ...]
    stride: int
    unported: tuple[str, ...] = ()
    normalization: Normalization | None = None

    @property
    def head(self) -> Layer:
        """The last layer; once `require` has passed, its block has a `HeadSpec`."""
        return self.layers[-1]

    @property
    def task(self) -> str:
        """What the network does: "detect", "segment", "pose", "obb", "classify"."""
        return self._head_spec.task

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the network's outputs."""
        return self._head_spec.outputs

    @property
    def per_cell(self) -> tuple[str, ...]:
        """Those outputs that have a row for each cell of the head."""
        return self._head_spec.per_cell

    @property
    def facts(self) -> dict[str, Any]:
        """The head's entries in the header of a weights file."""
        return self._head_spec.facts(self.head, self.strides)

    @property
    def ultralytics_model(self) -> str:
        """The class in ``ultralytics.nn.tasks`` that builds such a network."""
        return self._head_spec.ultralytics_model

    @property
    def only_in_training(self) -> tuple[str, ...]:
        """Prefixes of the names of tensors that a checkpoint may have and its outputs do not depend on."""
        return tuple(f"model.{self.head.index}.{name}." for name in self._head_spec.only_in_training)

    @property
    def activation(self) -> str:
        """PyTorch's class of the activation behind convolutions that do not have their own."""
        return self.head.activation

    @property
    def nms(self) -> bool:
        """Whether its outputs need non-maximum suppression, if it gives boxes."""
        return bool(self.head.args.get("nms", True))

    def without_nms(self) -> Architecture:
        """The network with the outputs of its one-to-one head, which need no NMS; itself if it has none."""
        if not self.head.args.get("end2end"):
            return self
        head = replace(self.head, args={**self.head.args, "nms": False})
        return replace(self, layers=(*self.layers[:-1], head))

    def of_any_classes(self) -> Architecture:
        """The network without its number of classes: equal for all that compute alike up to their logits.

        Itself if its classes are channels of a map, as a classifier's are: those are known when it is traced.
        """
        if not self.per_cell:
            return self
        head = replace(self.head, c_out=0, args={**self.head.args, "nc": 0})
        return replace(self, layers=(*self.layers[:-1], head), nc=0)

    def convolutions(self) -> Iterator[Convolution]:
        """Every convolution with its full name, in the table's order."""
        for layer in self.layers:
            yield from layer.convolutions()

    def constants(self) -> dict[str, NDArray[Any]]:
        """Tensors of a checkpoint that are constants here, by their full names."""
        spec = self.head.spec
        return {f"model.{self.head.index}.{name}": t for name, t in spec.constants(self.head).items()}

    @property
    def _head_spec(self) -> HeadSpec:
        return cast(HeadSpec, self.head.spec)

    def unsupported(self, supported: Collection[str] = SPECS.keys()) -> tuple[str, ...]:
        """What is unsupported with these modules: each kind of block once, with its layers."""
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

    def require(self, supported: Collection[str] = SPECS.keys()) -> None:
        """Rejects a table that needs more than these modules.

        Raises:
            WeightsError: Names what is not ported. The message lacks its subject, the file.
        """
        if problems := self.unsupported(supported):
            parts = some(problems, MAX_PARTS_NAMED)
            raise WeightsError(f"holds a network with parts that are not ported: {parts}; {REMEDY}")


def parse_architecture(table: Mapping[str, Any], nc: int | None = None) -> Architecture:
    """Resolves a checkpoint's architecture table.

    Args:
        table: The checkpoint's own ``yaml``: backbone, head, nc, and scales with scale, or depth_multiple and
            width_multiple.
        nc: Number of classes, if it is not the table's.

    Returns:
        The network. Unknown modules are recorded, not rejected: see `Architecture.require`.

    Raises:
        WeightsError: The table is invalid or exceeds the limits of this module.
    """
    if not isinstance(table, Mapping):
        raise WeightsError(f"the architecture table is {shorten(table)}, not a mapping.")
    nc = whole(table.get("nc") if nc is None else nc, "class count", 1, MAX_CLASSES)
    scale = table_scale(table)
    layers: list[Layer] = []
    budget, parameters = Budget(), 0
    for index, row in enumerate(rows_of(table)):
        layers.append(resolve(index, row, layers, table, nc, scale))
        convolutions = budget.take(layers[-1])
        if all(layers[-1].c_in):  # else it is not known how many
            parameters += sum(each.parameters for each in convolutions)
        if parameters > MAX_PARAMETERS:
            raise WeightsError(f"the architecture table asks for over {MAX_PARAMETERS:,} parameters.")
    if all(layer.ported for layer in layers):
        heads = [layer.index for layer in layers if isinstance(layer.spec, HeadSpec)]
        if heads != [len(layers) - 1]:
            raise WeightsError(f"the architecture table does not end in its one head ({_heads()}).")
    architecture = Architecture(tuple(layers), nc, *_strides(layers), tuple(unported_settings(table)))
    if architecture.stride > MAX_IMGSZ:
        raise WeightsError(
            f"the architecture table needs images of a multiple of {architecture.stride:,} pixels, "
            f"over {MAX_IMGSZ:,}."
        )
    return architecture


def expected_tensors(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the fused network's tensors, in the table's order.

    Filters are RSCF, ``(kh, kw, c_in, c_out)``; biases ``(c_out,)``. The head's DFL convolution is a constant
    and not included.

    Raises:
        WeightsError: The network has parts that are not ported.
    """
    architecture.require()
    shapes: dict[str, tuple[int, ...]] = {}
    for each in architecture.convolutions():
        shapes[f"{each.name}.weight"] = each.shape
        shapes[f"{each.name}.bias"] = (each.c_out,)
    return shapes


def _strides(layers: list[Layer]) -> tuple[tuple[int, ...], int]:
    """Input pixels per cell at each level of the head, and what the input's sides must be multiples of.

    The latter follows from the strides of the levels, and of maps that are upsampled to match others. There
    are no levels if unported layers hide them.
    """
    stride: dict[int, Fraction | None] = {-1: Fraction(1)}
    grown = {-1: 0}  # pixels by which a map is larger than its stride says
    fits = 1
    for layer in layers:
        inputs = [stride[f] for f in layer.from_]
        known = [each for each in inputs if each is not None]
        grown[layer.index] = _grown(layer, [grown[f] for f in layer.from_])
        if isinstance(layer.spec, HeadSpec):
            levels = layer.spec.levels(known) if len(known) == len(inputs) else ()
            return levels, math.lcm(fits, *levels)
        if not layer.ported or layer.unported or len(known) < len(inputs):
            stride[layer.index] = None
            continue
        common = layer.spec.common_stride(layer, known)
        if (multiple := layer.spec.multiple(layer)) > 1:
            fits = math.lcm(fits, (common * multiple).numerator)
        effect = layer.spec.stride(layer) ** layer.copies
        if effect < 1 or len(set(known)) > 1:  # some are enlarged
            fits = math.lcm(fits, *(each.numerator for each in known))
        stride[layer.index] = common * effect
    return (), fits


def _grown(layer: Layer, inputs: list[int]) -> int:
    """Pixels by which the layer's map is larger than its stride says, from those of its inputs."""
    spec = layer.spec
    if not layer.ported or layer.unported:
        return 0
    if any(inputs) and (len(set(inputs)) > 1 or isinstance(spec, HeadSpec) or spec.stride(layer) != 1):
        raise WeightsError(
            f"layer {layer.index} ({layer.module}) of the architecture table reads a map that was padded, "
            "which only layers that keep its size can."
        )
    grown = inputs[0] + spec.grows(layer) * layer.copies
    if not 0 <= grown <= MAX_KERNEL:
        raise WeightsError(
            f"layer {layer.index} ({layer.module}) of the architecture table gives a map of {grown} pixels "
            f"beside those of its stride, not from 0 to {MAX_KERNEL}."
        )
    return grown


def unported_settings(table: Mapping[str, Any]) -> Iterator[str]:
    """Settings of the whole table that are not ported: "activation 'nn.ReLU()'"."""
    if table_activation(table) is None:
        yield f"activation {shorten(table['activation'])}"
    if (channels := table.get("channels", table.get("ch", 3))) != 3:
        yield f"{shorten(channels)} input channels"


def _heads() -> str:
    return ", ".join(sorted(module for module, spec in SPECS.items() if isinstance(spec, HeadSpec)))
