"""What a block is made of: a tree of PyTorch modules that ends in convolutions.

Names in the tree are the attributes of Ultralytics' modules, so the path of a convolution is its name in a
checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

DEFAULT_ACTIVATION = "default_act"
"""Stands for the class of the table's own activation, which Ultralytics keeps as ``Conv.default_act``."""


class SavedModule(NamedTuple):
    """A PyTorch module of a checkpoint, as it must be for the port to compute the same.

    Attributes:
        path: Its dotted name.
        kind: The name of its class.
        attributes: Their required values. A pair of sizes may be saved as one number.
        later: Required values of attributes that old releases did not save.
    """

    path: str
    kind: str
    attributes: Mapping[str, Any] = {}
    later: Mapping[str, Any] = {}


def pairs(**sizes: int) -> dict[str, tuple[int, int]]:
    """Equal sizes for both sides, as `SavedModule` expects them."""
    return {name: (size, size) for name, size in sizes.items()}


class Convolution(NamedTuple):
    """A convolution; a linear layer is one on a map of one pixel.

    If it is named "conv", a BatchNorm may follow in the checkpoint, which is folded into it, unless it is
    trained with a bias.

    Attributes:
        kernel: Height and width of the filters.
        c_in: Input channels.
        c_out: Output channels.
        stride: Input pixels from one output to the next.
        padding: Zeros on each side of the map; None for ``kernel // 2``.
        groups: Parts of the channels that do not see each other: 1, or ``c_in`` if it is depthwise.
        kind: The class of the PyTorch module: "Conv2d", "ConvTranspose2d" or "Linear"; or "Parameter", if it
            is a factor for each channel.
        branches: The convolutions of the checkpoint that add up to this one, and the size of their filters;
            empty if it is there itself.
        bias: Whether it is trained with a bias, although it is named "conv".
        name: Its dotted name.
    """

    kernel: int
    c_in: int
    c_out: int
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    kind: str = "Conv2d"
    branches: tuple[tuple[str, int], ...] = ()
    bias: bool = False
    name: str = ""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of its filters, RSCF: ``(kh, kw, c_in / groups, c_out)``."""
        return self.kernel, self.kernel, self.c_in // self.groups, self.c_out

    @property
    def saved_axes(self) -> tuple[int, int, int, int]:
        """Which axes of its filters, RSCF, a checkpoint's filters have: output channels first, or input."""
        return (2, 3, 0, 1) if self.kind == "ConvTranspose2d" else (3, 2, 0, 1)

    @property
    def saved_shape(self) -> tuple[int, ...]:
        """Shape of its filters in a checkpoint: ``(c_out, c_in / groups, kh, kw)``, or the first of these."""
        return tuple(self.shape[axis] for axis in self.saved_axes)[: self.saved_rank]

    @property
    def saved_rank(self) -> int:
        """Number of their axes."""
        return {"Linear": 2, "Parameter": 1}.get(self.kind, 4)

    @property
    def saved_names(self) -> tuple[str, ...]:
        """Names of its filters and its bias in a checkpoint."""
        return (self.name,) if self.kind == "Parameter" else (f"{self.name}.weight", f"{self.name}.bias")

    def from_saved(self, filters: NDArray[Any]) -> NDArray[Any]:
        """A checkpoint's filters as RSCF."""
        axes = tuple(self.saved_axes.index(axis) for axis in range(4))
        shape = tuple(self.shape[axis] for axis in self.saved_axes)
        return filters.reshape(shape).transpose(axes)

    def to_saved(self, filters: NDArray[Any]) -> NDArray[Any]:
        """RSCF filters as in a checkpoint."""
        saved = filters.transpose(self.saved_axes)
        return saved.reshape(saved.shape[: self.saved_rank])

    @property
    def parameters(self) -> int:
        """Number of weights and biases, once fused."""
        biases = self.c_out if self.kind != "Parameter" else 0
        return self.kernel**2 * (self.c_in // self.groups) * self.c_out + biases

    @property
    def sides(self) -> int:
        """Zeros on each side of the map."""
        return self.kernel // 2 if self.padding is None else self.padding

    def convolutions(self, path: str) -> Iterator[Convolution]:
        """Itself, named ``path``."""
        yield self._replace(name=path)

    def summands(self) -> tuple[Convolution, ...]:
        """The convolutions of a checkpoint that add up to it: itself, if it has no branches."""
        block = self.name.rpartition(".")[0]
        return tuple(
            self._replace(name=f"{block}.{name}", kernel=kernel, branches=())
            for name, kernel in self.branches
        ) or (self,)

    def saved(self, path: str) -> Iterator[SavedModule]:
        """Its modules in a checkpoint, except BatchNorms, which a fused checkpoint no longer has."""
        for each in self._replace(name=path).summands():
            if each.saved_rank < 4:
                if each.kind != "Parameter":
                    yield SavedModule(each.name, each.kind)
                continue
            sizes = pairs(kernel_size=each.kernel, stride=each.stride, padding=each.sides, dilation=1)
            if each.kind == "ConvTranspose2d":
                sizes |= pairs(output_padding=0)
            yield SavedModule(each.name, each.kind, {**sizes, "groups": each.groups, "padding_mode": "zeros"})


class Part(NamedTuple):
    """A PyTorch module, and what is below it.

    Attributes:
        below: Its modules and convolutions, by their dotted names below it.
        kind: The name of its class; "" if it is only a name in a path.
        attributes: See `SavedModule`, like the next.
        later: Of attributes that old releases did not save.
    """

    below: Mapping[str, Below] = {}
    kind: str = ""
    attributes: Mapping[str, Any] = {}
    later: Mapping[str, Any] = {}

    def convolutions(self, path: str) -> Iterator[Convolution]:
        """The convolutions below it, with their full names, if it is named ``path``."""
        for name, each in self.below.items():
            yield from each.convolutions(f"{path}.{name}")

    def saved(self, path: str) -> Iterator[SavedModule]:
        """What a checkpoint must have saved of it, and of all below it, if it is named ``path``."""
        if self.kind:
            yield SavedModule(path, self.kind, self.attributes, self.later)
        for name, each in self.below.items():
            yield from each.saved(f"{path}.{name}")


Below: TypeAlias = Part | Convolution


def numbered(name: str, parts: Sequence[Part]) -> dict[str, Part]:
    """The modules of a list or a sequence: ``name.0``, ``name.1``, ..."""
    return {f"{name}.{i}".lstrip("."): part for i, part in enumerate(parts)}


def conv(
    kernel: int,
    c_in: int,
    c_out: int,
    stride: int = 1,
    padding: int | None = None,
    *,
    depthwise: bool = False,
    activation: str = DEFAULT_ACTIVATION,
) -> Part:
    """Ultralytics' Conv: a convolution, its BatchNorm, and an activation, which is "Identity" for none."""
    groups = c_in if depthwise else 1
    convolution = Convolution(kernel, c_in, c_out, stride, padding, groups)
    return Part({"conv": convolution, "act": Part(kind=activation)})


def bottleneck(c_in: int, c_out: int, hidden: int, shortcut: bool, *, kernel: int = 3) -> Part:
    """Two convolutions, the first one ``kernel`` x ``kernel``, and an optional shortcut."""
    below = {"cv1": conv(kernel, c_in, hidden), "cv2": conv(3, hidden, c_out)}
    return Part(below, "Bottleneck", {"add": shortcut})


def max_pool(kernel: int, stride: int = 1, padding: int | None = None) -> Part:
    """A max-pool; by default one that keeps the size of the map."""
    padding = kernel // 2 if padding is None else padding
    sizes = pairs(kernel_size=kernel, stride=stride, padding=padding, dilation=1)
    return Part(kind="MaxPool2d", attributes={**sizes, "ceil_mode": False})


def transposed(c_in: int, c_out: int, scale: int) -> Convolution:
    """A transposed convolution that enlarges a map ``scale`` times."""
    return Convolution(scale, c_in, c_out, stride=scale, padding=0, kind="ConvTranspose2d")
