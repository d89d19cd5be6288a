"""The constants of a graph: what they are made of, and how NumPy packs them for the kernels.

Needs no PyTorch, so that an exported network is loaded without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair
from yolo_max.support.errors import WeightsError

TO_NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class Bound:
    """A constant of a graph, bound when the graph is loaded.

    Attributes:
        name: Of the constant.
        dtype: Element type.
        shape: Of the array.
        pack: Makes the array, from arrays.
        sources: Names of these arrays; None for one that is not given.
    """

    name: str
    dtype: Any
    shape: tuple[int, ...]
    pack: Callable[..., NDArray[Any]]
    sources: tuple[str | None, ...]

    def make(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Makes the array, from all arrays by name.

        Raises:
            WeightsError: They are not of the shapes that the graph was made for, as in a damaged file.
        """
        made = self.pack(*(None if each is None else arrays[each] for each in self.sources))
        if made.shape != self.shape:
            named = ", ".join(f"{each} {arrays[each].shape}" for each in self.sources if each is not None)
            raise WeightsError(
                f"the graph takes {self.name} as {self.shape}, and {named} makes {made.shape} of it; export "
                "the module again."
            )
        return made


@dataclass(frozen=True)
class Unchanged:
    """An array as it is."""

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copies it."""
        return packing.align(values)


@dataclass(frozen=True)
class AsMap:
    """An array of up to four dimensions as NHWC, for broadcasting."""

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Adds dimensions in front, and transposes."""
        return packing.align(values.reshape([1] * (4 - values.ndim) + list(values.shape)).transpose(TO_NHWC))


@dataclass(frozen=True)
class ConvFilters:
    """PyTorch's filters of a convolution, ``[c2, c1 / groups, kh, kw]``, for a kernel named ``kernel``."""

    kernel: str
    groups: int
    precision: str = Precision.F32

    def __call__(self, filters: NDArray[np.float32]) -> NDArray[Any]:
        """Packs them."""
        rscf = np.ascontiguousarray(filters.transpose(2, 3, 1, 0))
        return ConvKernel.named(self.kernel).pack(rscf, Precision(self.precision), self.groups)


@dataclass(frozen=True)
class TransposedFilters:
    """PyTorch's filters of a transposed convolution, ``[c1, c2, kh, kw]``."""

    stride: Pair
    padding: Pair
    precision: str = Precision.F32

    def __call__(self, filters: NDArray[np.float32]) -> NDArray[Any]:
        """Packs them."""
        rscf = np.ascontiguousarray(filters.transpose(2, 3, 0, 1))
        return packing.pack_transposed(rscf, self.stride, self.padding, Precision(self.precision))


@dataclass(frozen=True)
class LinearWeights:
    """PyTorch's weights of a linear layer, ``[c2, c1]``."""

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[Any]:
        """Packs them."""
        return packing.pack_direct(np.ascontiguousarray(weights.T)[None, None], Precision.F32)


@dataclass(frozen=True)
class Biases:
    """Biases of a layer, zeros if there are none, and behind them the slopes of PReLU."""

    channels: int

    def __call__(
        self, bias: NDArray[np.float32] | None, slopes: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Packs them."""
        return packing.pack_bias(np.zeros(self.channels, np.float32) if bias is None else bias, slopes)


PACKS: Mapping[str, Callable[..., Callable[..., NDArray[Any]]]] = {
    each.__name__: each for each in (Unchanged, AsMap, ConvFilters, TransposedFilters, LinearWeights, Biases)
}
"""What an exported network may name."""


def bound_to_dict(bound: Bound) -> dict[str, Any]:
    """A constant as plain values, for JSON; its ``pack`` is one of :data:`PACKS`."""
    pack: Any = bound.pack
    return {
        "name": bound.name,
        "dtype": np.dtype(bound.dtype).str,
        "shape": list(bound.shape),
        "pack": [type(pack).__name__, asdict(pack)],
        "sources": list(bound.sources),
    }


def bound_from_dict(values: Mapping[str, Any]) -> Bound:
    """The constant that :func:`bound_to_dict` has written."""
    kind, options = values["pack"]
    plain = {name: tuple(each) if isinstance(each, list) else each for name, each in options.items()}
    return Bound(
        values["name"],
        np.dtype(values["dtype"]),
        tuple(values["shape"]),
        PACKS[kind](**plain),
        tuple(values["sources"]),
    )
