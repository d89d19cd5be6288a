"""The convolution kernels, one entry for each, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.precision import Precision


@dataclass(frozen=True)
class ConvKernel:
    """A convolution kernel.

    Attributes:
        name: Its name in cached graphs.
        id: Its index in ``kernels/table.mojo``.
        fits: Whether to use it for ``(c1, k, s, precision)``: input channels, filter size, stride.
        weight_dtype: Type of its packed filters in a precision.
        packed_size: Number of elements that ``pack`` returns, from ``(c1, c2, k, precision)``.
        pack: Packs filters, RSCF ``[k, k, c1, c2]``, into one dimension.
        reads_bytes: Whether it also reads uint8; its input is then one whole tensor, not a view.
    """

    name: str
    id: int
    fits: Callable[[int, int, int, Precision], bool]
    weight_dtype: Callable[[Precision], type[np.generic]]
    packed_size: Callable[[int, int, int, Precision], int]
    pack: Callable[[NDArray[np.float32], Precision], NDArray[Any]]
    reads_bytes: bool = False

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def named(name: str) -> ConvKernel:
        """The kernel with this name.

        Raises:
            ValueError: There is none.
        """
        for kernel in KERNELS:
            if kernel.name == name:
                return kernel
        raise ValueError(f"There is no kernel {name!r} for convolutions.")

    @staticmethod
    def choose(c1: int, k: int, s: int, precision: Precision) -> ConvKernel:
        """The kernel for ``c1`` input channels, ``k`` x ``k`` filters and stride ``s``."""
        return next(kernel for kernel in KERNELS if kernel.fits(c1, k, s, precision))


STEM = ConvKernel(
    "stem",
    3,
    fits=lambda c1, k, s, _: (c1, k, s) == (3, 3, 2),
    weight_dtype=packing.word_dtype,
    packed_size=packing.stem_size,
    pack=packing.pack_stem,
    reads_bytes=True,
)
WINOGRAD = ConvKernel(
    "winograd",
    1,
    fits=lambda _, k, s, __: (k, s) == (3, 1),
    weight_dtype=lambda _: np.float32,
    packed_size=packing.tiles_size,
    pack=lambda filters, _: packing.pack_tiles(filters, packing.WINOGRAD_G),
)
POLYPHASE = ConvKernel(
    "polyphase",
    2,
    # It saves a third of the products; without it, bf16 has twice as many per instruction.
    fits=lambda _, k, s, precision: (k, s) == (3, 2) and precision is Precision.F32,
    weight_dtype=lambda _: np.float32,
    packed_size=packing.tiles_size,
    pack=lambda filters, _: packing.pack_tiles(filters, packing.POLYPHASE_G),
)
DIRECT = ConvKernel(
    "direct",
    0,
    fits=lambda *_: True,
    weight_dtype=packing.word_dtype,
    packed_size=packing.direct_size,
    pack=packing.pack_direct,
)

KERNELS = (STEM, WINOGRAD, POLYPHASE, DIRECT)
"""In order of preference."""


def pack_weights(
    tensors: Mapping[str, NDArray[np.float32]], kernels: Mapping[str, ConvKernel], precision: Precision
) -> dict[str, NDArray[Any]]:
    """Packs a network's tensors for its graph.

    Args:
        tensors: Filters RSCF and biases, by the checkpoint's names.
        kernels: The kernel of each convolution, by its name ("model.0.conv"); any other convolution runs on
            MAX's own operations, and its tensors are not packed.
        precision: Of the activations.

    Returns:
        Arrays with the same names.
    """
    packed: dict[str, NDArray[Any]] = dict(tensors)
    for name, kernel in kernels.items():
        packed[f"{name}.weight"] = kernel.pack(tensors[f"{name}.weight"], precision)
        packed[f"{name}.bias"] = packing.pack_bias(tensors[f"{name}.bias"])
    return packed
