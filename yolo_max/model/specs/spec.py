"""Block specs: a block's row in a table, its weights, and its form in a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple, TypeVar

from numpy.typing import NDArray

from yolo_max.model.specs.parts import DEFAULT_ACTIVATION, Below, Convolution, Part, SavedModule
from yolo_max.model.specs.row import MAX_CHANNELS, Argument, Row
from yolo_max.support.errors import WeightsError


class Resolved(NamedTuple):
    """The resolved arguments of a row.

    Attributes:
        c_out: Channels of the output; 0 if unknown because those of an input are.
        args: See `Layer`.
        unported: Arguments with a legal value that is not ported, besides those of `Argument.only`.
    """

    c_out: int
    args: dict[str, int]
    unported: Sequence[str] = ()


class BlockSpec(ABC):
    """Everything about a block except its computation, which is a class in ``model/``.

    Attributes:
        signature: The constructor's arguments in a row: those after the input channels, without any that
            Ultralytics' parser adds.
        last: The convolution with the row's output channels, "" for the block itself; None if a row has no
            such number.
        scaled: Positions of other arguments that are channels to be scaled.
        joins: Whether it takes any number of inputs rather than one.
        takes_maps: Whether an input may be several maps.
        repeats_inside: Whether its repeats are its own bottlenecks rather than chained copies of it.
        light_head: Whether a Detect behind it has depthwise class branches.
    """

    signature: ClassVar[Sequence[Argument]]
    last: ClassVar[str | None] = None
    scaled: ClassVar[tuple[int, ...]] = ()
    joins: ClassVar[bool] = False
    takes_maps: ClassVar[bool] = False
    repeats_inside: ClassVar[bool] = False
    light_head: ClassVar[bool] = False

    @abstractmethod
    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Checks and scales the arguments of a row.

        Args:
            row: The row.
            given: Its unchecked arguments, by the names of `signature`.

        Raises:
            WeightsError: One of them is invalid.
        """

    @abstractmethod
    def arguments(self, layer: Layer) -> list[Any]:
        """The row's arguments for this layer, already scaled, for Ultralytics to build it."""

    @abstractmethod
    def part(self, layer: Layer) -> Below:
        """Its PyTorch module: all that decides what it computes, except the name of its class."""

    def stride(self, layer: Layer) -> Fraction:  # noqa: ARG002
        """Input pixels per output pixel, along either side."""
        return Fraction(1)

    def common_stride(self, layer: Layer, strides: Sequence[Fraction]) -> Fraction:
        """The stride of the map that its inputs are joined to.

        Raises:
            WeightsError: Maps of these strides cannot be joined.
        """
        if len(set(strides)) > 1:
            raise WeightsError(
                f"layer {layer.index} ({layer.module}) of the architecture table joins levels of different "
                f"strides: {', '.join(map(str, strides))}."
            )
        return strides[0]

    def maps(self, layer: Layer) -> tuple[int, ...]:  # noqa: ARG002
        """The channels of each map, if its output is several."""
        return ()

    def grows(self, layer: Layer) -> int:  # noqa: ARG002
        """Pixels by which its map is larger than its input, along either side, apart from the stride."""
        return 0

    def multiple(self, layer: Layer) -> int:  # noqa: ARG002
        """What height and width of its input must be multiples of."""
        return 1

    def constants(self, layer: Layer) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002
        """Tensors of a checkpoint that are constants here, by their names below the block."""
        return {}

    def describe(self, layer: Layer) -> str:  # noqa: ARG002
        """Its resolved arguments in a few words."""
        return ""


class HeadSpec(BlockSpec):
    """A block that ends a network.

    Attributes:
        task: What the network does: "detect", "segment", "pose", "obb", "classify".
        outputs: The names of its outputs.
        per_cell: Those that have a row for each cell.
        ultralytics_model: The class in ``ultralytics.nn.tasks`` that builds such a network.
        only_in_training: Modules of it that a checkpoint may have, and that do not count in its outputs.
    """

    task: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    per_cell: ClassVar[tuple[str, ...]] = ()
    ultralytics_model: ClassVar[str]
    only_in_training: ClassVar[tuple[str, ...]] = ()

    def levels(self, strides: Sequence[Fraction]) -> tuple[int, ...]:  # noqa: ARG002
        """Input pixels per cell at each level, from the strides of its inputs; empty if it has no cells.

        Raises:
            WeightsError: Such levels are invalid.
        """
        return ()

    def trained_only(self, layer: Layer) -> Part:  # noqa: ARG002
        """The modules of `only_in_training`, as Ultralytics makes them; they are only ever counted."""
        return Part()

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:  # noqa: ARG002
        """Its entries in the header of a weights file, for readers of the header alone: JSON values."""
        return {}

    def classes(self, row: Row, nc: Any) -> int:
        """The number of classes in a row, which must be the table's.

        Raises:
            WeightsError: It differs.
        """
        if row.integer(nc, "class count", 1, MAX_CHANNELS) != row.nc:
            raise row.error(f"is for {nc} classes, but the table is for {row.nc}")
        return row.nc


class _Unported(BlockSpec):
    """Stands in for an unknown block."""

    signature = ()

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """Its output is unknown."""
        return Resolved(0, {})

    def arguments(self, layer: Layer) -> list[Any]:
        """None are known."""
        raise WeightsError(f"layer {layer.index} of the network, {layer.module}, is not ported.")

    def part(self, layer: Layer) -> Part:  # noqa: ARG002
        """Nothing is known of it."""
        return Part()


_UNPORTED = _Unported()
SPECS: dict[str, BlockSpec] = {}
"""The spec of each ported block, by its name in tables."""


S = TypeVar("S", bound=BlockSpec)


def block(module: str) -> Callable[[type[S]], type[S]]:
    """Registers a spec in `SPECS` by the block's name in tables."""

    def register(spec: type[S]) -> type[S]:
        SPECS[module] = spec()
        return spec

    return register


@dataclass(frozen=True)
class Layer:
    """One row of the table, resolved.

    Attributes:
        index: Position in the table; tensor names start with ``model.{index}.``.
        from_: Absolute indices of the layers it reads; -1 is the network's input image (layer 0 only).
        module: The block's name in the table: "Conv", "C2f", "SPPF", "nn.Upsample", "Concat", "Detect", ...
        copies: Number of chained copies of this block; above 1, copy k is named ``model.{index}.{k}.``. (The
            repeats of a C2f are its own bottlenecks: see ``args``.)
        c_in: Channels of each input, one per entry of ``from_``; 0 when an unported layer hides them.
        c_out: Channels of the output; of a head, of its rows.
        args: Arguments by name, as the block's spec resolves them. Empty for an unknown module.
        unported: Legal arguments that are not ported, e.g. ("groups=2",).
        activation: PyTorch's class of the table's activation, behind convolutions that do not have their own.
    """

    index: int
    from_: tuple[int, ...]
    module: str
    copies: int
    c_in: tuple[int, ...]
    c_out: int
    args: Mapping[str, int]
    unported: tuple[str, ...] = ()
    activation: str = "SiLU"

    @property
    def ported(self) -> bool:
        """Whether its block is ported, whatever its arguments."""
        return self.module in SPECS

    @property
    def spec(self) -> BlockSpec:
        """The spec of its block, which says nothing if the block is not ported."""
        return SPECS.get(self.module, _UNPORTED)

    @property
    def maps(self) -> tuple[int, ...]:
        """The channels of each map, if its output is several; together they are ``c_out``."""
        return self.spec.maps(self)

    def prefixes(self) -> tuple[str, ...]:
        """The prefix of each copy's tensor names, without the last dot: ``("model.4",)``."""
        if self.copies == 1:
            return (f"model.{self.index}",)
        return tuple(f"model.{self.index}.{k}" for k in range(self.copies))

    def convolutions(self) -> Iterator[Convolution]:
        """The convolutions of every copy, with their full names."""
        part = self.spec.part(self)
        for prefix in self.prefixes():
            yield from part.convolutions(prefix)

    def only_in_training(self) -> Iterator[Convolution]:
        """Convolutions of a head that its outputs do not depend on, with their full names."""
        if isinstance(self.spec, HeadSpec):
            yield from self.spec.trained_only(self).convolutions(f"model.{self.index}")

    def saved(self) -> Iterator[SavedModule]:
        """The PyTorch modules of every copy, with their full names."""
        part = self.spec.part(self)._replace(kind=self.module.removeprefix("nn."))
        for prefix in self.prefixes():
            for each in part.saved(prefix):
                yield each._replace(kind=self.activation) if each.kind == DEFAULT_ACTIVATION else each

    @property
    def parameters(self) -> int:
        """Number of weights and biases, once fused; 0 if the channels of an input are unknown."""
        return sum(each.parameters for each in self.convolutions()) if all(self.c_in) else 0


def expansion(layer: Layer) -> float:
    """The ratio of hidden to output channels, plus half a channel because Ultralytics rounds down."""
    return (layer.args["hidden"] + 0.5) / layer.c_out


def shortcut(layer: Layer) -> str:
    """The words on a shortcut, if there is one."""
    return ", shortcut" if layer.args["shortcut"] else ""
