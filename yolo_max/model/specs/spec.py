"""What is written down of each block: its row in a table, its weights, and how a checkpoint saves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple, TypeVar

from numpy.typing import NDArray

from yolo_max.model.specs.row import MAX_CHANNELS, Argument, Row


class SavedModule(NamedTuple):
    """A PyTorch module that a checkpoint holds, as it must be for the port to compute the same.

    Attributes:
        path: Its dotted name, below that of the block; "" is the block itself.
        kind: The name of its class.
        attributes: What they must be. A pair of sizes may be saved as one number.
        later: Those that old releases did not save: they must be this where they are there.
    """

    path: str
    kind: str
    attributes: Mapping[str, Any] = {}
    later: Mapping[str, Any] = {}


def pairs(**sizes: int) -> dict[str, tuple[int, int]]:
    """Sizes that are the same along both sides, as `SavedModule` takes them."""
    return {name: (size, size) for name, size in sizes.items()}


class Convolution(NamedTuple):
    """A convolution of a block, of padding ``kernel // 2``; a linear layer is one on a map of one pixel.

    One called "conv" is that of Ultralytics' Conv: BatchNorm, which is folded into it, and SiLU follow.

    Attributes:
        name: Its dotted name, below that of the block.
        kernel: Height and width of the filters.
        c_in: Input channels.
        c_out: Output channels.
        stride: Input pixels from one output to the next.
        kind: The class of the PyTorch module: "Conv2d" or "Linear".
    """

    name: str
    kernel: int
    c_in: int
    c_out: int
    stride: int = 1
    kind: str = "Conv2d"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its filters, RSCF: ``(kh, kw, c_in, c_out)``."""
        return self.kernel, self.kernel, self.c_in, self.c_out

    @property
    def saved_shape(self) -> tuple[int, ...]:
        """Of its filters in a checkpoint: ``(c_out, c_in, kh, kw)``; of a linear layer ``(c_out, c_in)``."""
        return (self.c_out, self.c_in, *(self.shape[:2] if self.kind == "Conv2d" else ()))

    @property
    def parameters(self) -> int:
        """Number of weights and biases, once fused."""
        return self.kernel**2 * self.c_in * self.c_out + self.c_out

    def saved(self) -> Iterator[SavedModule]:
        """Its modules in a checkpoint, apart from the BatchNorm, which a fused one has no more."""
        if self.kind == "Linear":
            yield SavedModule(self.name, self.kind)
            return
        sizes = {
            "kernel_size": self.kernel,
            "stride": self.stride,
            "padding": self.kernel // 2,
            "dilation": 1,
        }
        pairs = {name: (size, size) for name, size in sizes.items()}
        yield SavedModule(self.name, self.kind, {**pairs, "groups": 1, "padding_mode": "zeros"})
        block, _, last = self.name.rpartition(".")
        if last == "conv":
            yield SavedModule(f"{block}.act" if block else "act", "SiLU")


class Resolved(NamedTuple):
    """What the arguments of a row come to.

    Attributes:
        c_out: Channels of the output; 0: unknown, as those of an input are.
        args: See `Layer`.
        unported: Which arguments have a legal value that the port does not cover, beyond `Argument.only`.
    """

    c_out: int
    args: dict[str, int]
    unported: Sequence[str] = ()


class BlockSpec(ABC):
    """All that there is to know of a block but its computation, which is a class in ``blocks.py``.

    Attributes:
        signature: The constructor's arguments as a row gives them: those after the input channels, without
            what Ultralytics' parser adds.
        last: The convolution that gives the row's output channels; None where a row gives no such number.
        joins: Whether it takes any number of inputs, rather than one.
        repeats_inside: Whether its repeats are its own bottlenecks, rather than copies of it in a row.
    """

    signature: ClassVar[Sequence[Argument]]
    last: ClassVar[str | None] = None
    joins: ClassVar[bool] = False
    repeats_inside: ClassVar[bool] = False

    @abstractmethod
    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Checks and scales the arguments of a row.

        Args:
            row: The row.
            given: Its arguments by the names of `signature`, not checked.

        Raises:
            WeightsError: One of them makes no sense.
        """

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:  # noqa: ARG002
        """Its convolutions, in the order of the attributes of the PyTorch module."""
        yield from ()

    def stride(self, layer: Layer) -> Fraction:  # noqa: ARG002
        """Input pixels to a pixel of its output, along either side."""
        return Fraction(1)

    def saved(self, layer: Layer) -> Iterator[SavedModule]:  # noqa: ARG002
        """What else than its class and its convolutions decides what its PyTorch module computes."""
        yield from ()

    def constants(self, layer: Layer) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002
        """Tensors that a checkpoint holds and the port takes as given, by their names below the block's."""
        return {}

    def describe(self, layer: Layer) -> str:  # noqa: ARG002
        """What its arguments come to, in a few words."""
        return ""


class HeadSpec(BlockSpec):
    """A block that ends a network.

    Attributes:
        task: What the network does: "detect", "classify".
        outputs: The names of what it gives.
    """

    task: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]

    def levels(self, strides: Sequence[Fraction]) -> tuple[int, ...]:  # noqa: ARG002
        """Input pixels per cell at each level, from the strides of its inputs; none if it has no cells.

        Raises:
            WeightsError: It cannot have such levels.
        """
        return ()

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:  # noqa: ARG002
        """What a weights file's header repeats of it, for who reads only that: values that JSON can hold."""
        return {}

    def classes(self, row: Row, nc: Any) -> int:
        """The number of classes that a row gives, which must be the table's.

        Raises:
            WeightsError: It is another one.
        """
        if row.integer(nc, "class count", 1, MAX_CHANNELS) != row.nc:
            raise row.error(f"is for {nc} classes, but the table is for {row.nc}")
        return row.nc


class _Unported(BlockSpec):
    """Stands for a block that is not known here."""

    signature = ()

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """Its output is unknown."""
        return Resolved(0, {})


_UNPORTED = _Unported()
SPECS: dict[str, BlockSpec] = {}
"""The spec of each ported block, by the name that tables give it."""


S = TypeVar("S", bound=BlockSpec)


def block(module: str) -> Callable[[type[S]], type[S]]:
    """Puts a spec into `SPECS`, under the block's name in tables."""

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
        copies: How many of this block follow one another; above 1, copy k is named ``model.{index}.{k}.``.
            (The repeats of a C2f are its own bottlenecks: see ``args``.)
        c_in: Channels of each input, one per entry of ``from_``; 0 when an unported layer hides them.
        c_out: Channels of the output; of a head, of its rows.
        args: Arguments by name, as the block's spec resolves them. Empty for a module not known here.
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

    @property
    def ported(self) -> bool:
        """Whether its block is known here, whatever its arguments are."""
        return self.module in SPECS

    @property
    def spec(self) -> BlockSpec:
        """What there is to know of its block: nothing of one that is not ported."""
        return SPECS.get(self.module, _UNPORTED)

    def prefixes(self) -> tuple[str, ...]:
        """What the tensor names of each copy start with, without the last dot: ``("model.4",)``."""
        if self.copies == 1:
            return (f"model.{self.index}",)
        return tuple(f"model.{self.index}.{k}" for k in range(self.copies))

    def convolutions(self) -> Iterator[Convolution]:
        """Its convolutions, every copy's, under their full names."""
        for prefix in self.prefixes():
            for each in self.spec.convolutions(self):
                yield each._replace(name=f"{prefix}.{each.name}")

    def saved(self) -> Iterator[SavedModule]:
        """Its PyTorch modules, every copy's, under their full names."""
        kind = self.module.removeprefix("nn.")
        for prefix in self.prefixes():
            yield SavedModule(prefix, kind)
            for each in self.spec.saved(self):
                yield each._replace(path=f"{prefix}.{each.path}" if each.path else prefix)
        for convolution in self.convolutions():
            yield from convolution.saved()

    @property
    def parameters(self) -> int:
        """Number of weights and biases, once fused."""
        return sum(each.parameters for each in self.convolutions())
