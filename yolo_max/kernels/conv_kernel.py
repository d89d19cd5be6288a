"""The convolution kernels, one entry for each, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, OTHER_CONVOLUTIONS, KernelTable
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window

BEHIND, BEFORE = 1, 2
"""Where a residual is added: at last, or before the activation."""


class Pack(Protocol):
    """A function that packs filters."""

    def __call__(
        self, filters: NDArray[np.float32], precision: Precision, groups: int = 1, /
    ) -> NDArray[Any]:
        """Packs RSCF filters, ``[kh, kw, c1 / groups, c2]``, into one dimension."""


@dataclass(frozen=True)
class ConvKernel:
    """A convolution kernel.

    Attributes:
        name: Its name in cached graphs.
        id: Its index in its table.
        fits: Whether it may be used for ``(c1, c2, window, precision)``: input and output channels, geometry.
        weight_dtype: Type of its packed filters in a precision.
        packed_size: Number of elements that ``pack`` returns, from ``(c1, c2, window, precision)``.
        pack: Packs filters, from ``(filters, precision, groups)``.
        reads_bytes: Whether it also reads uint8; its input is then one whole tensor, not a view.
        table: The table that it is in.
        by_size: The algorithm of float32 by ``(height, width)`` of its output, where that decides between two
            when it runs (`suits` of its transform). None if there is one.
    """

    name: str
    id: int
    fits: Callable[[int, int, Window, Precision], bool]
    weight_dtype: Callable[[Precision], type[np.generic]]
    packed_size: Callable[[int, int, Window, Precision], int]
    pack: Pack
    reads_bytes: bool = False
    table: KernelTable = CONVOLUTIONS_AND_POOLS
    by_size: Callable[[int, int], ConvKernel] | None = None

    def __str__(self) -> str:
        return self.name

    def algorithm(self, height: int, width: int) -> ConvKernel:
        """The kernel that computes what this one does, in float32, for an output of this size."""
        return self if self.by_size is None else self.by_size(height, width)

    @staticmethod
    def named(name: str) -> ConvKernel:
        """The kernel with this name.

        Raises:
            ValueError: No kernel has this name.
        """
        for kernel in (*KERNELS, TRANSPOSED):
            if kernel.name == name:
                return kernel
        raise ValueError(f"There is no kernel {name!r} for convolutions.")

    @staticmethod
    def choose(
        c1: int,
        k: int | Pair,
        s: int | Pair,
        precision: Precision,
        *,
        c2: int | None = None,
        padding: int | Pair | tuple[int, int, int, int] | None = None,
        dilation: int | Pair = 1,
        groups: int = 1,
    ) -> ConvKernel:
        """The kernel for a convolution.

        Args:
            c1: Input channels.
            k: Filter size; a pair is (rows, columns), here and below.
            s: Stride.
            precision: Of the activations.
            c2: Output channels; by default as many.
            padding: See :meth:`yolo_max.kernels.window.Window.of`.
            dilation: Of the filter.
            groups: Of the channels.
        """
        window = Window.of(k, s, padding, dilation, groups)
        return next(kernel for kernel in KERNELS if kernel.fits(c1, c2 or c1, window, precision))


def _is_for_tiles(window: Window, s: int) -> bool:
    """Whether a transform of 3x3 filters with this stride applies; it goes two pixels beyond the map."""
    return window == replace(Window.of(3, s), padding=window.padding) and max(window.padding) <= 2


def _halves(window: Window, precision: Precision) -> bool:
    """Whether polyphase pays: it saves a third of the products; bf16 has twice as many at once instead."""
    return _is_for_tiles(window, 2) and precision is Precision.F32


def conv_params(
    window: Window,
    c1: int,
    c2: int,
    *,
    activation: Activation = Activation.NONE,
    slope: float = 0,
    residual: int = 0,
    scale: float = 1,
    factor: bool = False,
    halo: int | None = None,
    divisor: int = 0,
) -> list[int]:
    """The numbers that ``kernels/arguments.mojo`` reads.

    Args:
        window: The geometry.
        c1: Input channels.
        c2: Output channels.
        activation: The activation.
        slope: Of LeakyReLU.
        residual: :data:`BEHIND`, :data:`BEFORE`, or 0 without one.
        scale: Of the residual.
        factor: Whether there is one.
        halo: Tiles around those of the mask; None without one.
        divisor: Of bytes; 0 for other input.
    """
    groups = packing.packed_groups(c1, c2, window.groups)
    bits = [int(np.float32(value).view(np.int32)) for value in (slope, scale)]
    numbers = [activation, bits[0], residual, bits[1], factor, 0 if halo is None else halo + 1, divisor]
    return [*replace(window, groups=groups).params(), *map(int, numbers)]


STEM = ConvKernel(
    "stem",
    3,
    fits=lambda c1, _, w, __: c1 <= 4 and w.dilation[1] == w.groups == 1,
    weight_dtype=packing.word_dtype,
    packed_size=lambda c1, c2, w, precision: packing.stem_size(c1, c2, w.kernel, precision),
    pack=lambda filters, precision, _=1: packing.pack_stem(filters, precision),
    reads_bytes=True,
)
DEPTHWISE = ConvKernel(
    "depthwise",
    0,
    fits=lambda c1, c2, w, _: w.groups == c1 == c2 > 1,
    weight_dtype=lambda _: np.float32,
    packed_size=lambda _, c2, w, __: w.kernel[0] * w.kernel[1] * packing.padded(c2),
    pack=lambda filters, _, __=1: packing.pack_depthwise(filters),
    table=OTHER_CONVOLUTIONS,
)
WINOGRAD: ConvKernel = ConvKernel(
    "winograd",  # of f32, direct on the smallest maps
    1,
    fits=lambda _, __, w, ___: _is_for_tiles(w, 1),
    weight_dtype=lambda _: np.float32,
    packed_size=lambda c1, c2, _, precision: packing.by_size_size(c1, c2, precision),
    pack=lambda filters, precision, _=1: packing.pack_by_size(filters, packing.WINOGRAD_G, precision),
    by_size=lambda height, _: WINOGRAD if height > 2 else DIRECT,
)
POLYPHASE = ConvKernel(
    "polyphase",
    2,
    fits=lambda _, __, w, precision: _halves(w, precision),
    weight_dtype=lambda _: np.float32,
    packed_size=lambda c1, c2, _, __: packing.tiles_size(c1, c2),
    pack=lambda filters, _, __=1: packing.pack_tiles(filters, packing.POLYPHASE_G),
)
HALVING = ConvKernel(
    "halving",  # polyphase or direct, by the size of the map
    5,
    fits=lambda _, __, w, precision: _halves(w, precision),
    weight_dtype=lambda _: np.float32,
    packed_size=lambda c1, c2, _, precision: packing.by_size_size(c1, c2, precision),
    pack=lambda filters, precision, _=1: packing.pack_by_size(filters, packing.POLYPHASE_G, precision),
    by_size=lambda height, width: (
        POLYPHASE if height * width >= 13 * -(-height // 4) * -(-width // 4) else DIRECT
    ),
)
DIRECT: ConvKernel = ConvKernel(
    "direct",
    0,
    fits=lambda *_: True,
    weight_dtype=packing.word_dtype,
    packed_size=lambda c1, c2, w, precision: packing.direct_size(c1, c2, w.kernel, precision, w.groups),
    pack=packing.pack_direct,
)

KERNELS = (STEM, DEPTHWISE, WINOGRAD, HALVING, POLYPHASE, DIRECT)
"""In order of preference; polyphase is for comparing with alone."""
TRANSPOSED = ConvKernel(
    "transposed",
    1,
    fits=lambda *_: False,  # no other convolution can be computed as one
    weight_dtype=packing.word_dtype,
    packed_size=DIRECT.packed_size,
    # Without overlap, a filter is as large as its stride.
    pack=lambda filters, precision, _=1: packing.pack_transposed(
        filters, (filters.shape[0], filters.shape[1]), (0, 0), precision
    ),
    table=OTHER_CONVOLUTIONS,
)
"""Of a transposed convolution without overlap, such as 2x2 with stride 2."""


def pack_weights(
    tensors: Mapping[str, NDArray[np.float32]], kernels: Mapping[str, ConvKernel], precision: Precision
) -> dict[str, NDArray[Any]]:
    """Packs a network's tensors for its graph.

    Args:
        tensors: Filters RSCF and biases, by the checkpoint's names.
        kernels: The kernel of each convolution, by its name ("model.0.conv"); any other convolution runs on
            MAX's own operations, and its tensors are not packed. None but depthwise ones has groups.
        precision: Of the activations.

    Returns:
        Arrays with the same names.
    """
    packed: dict[str, NDArray[Any]] = {}
    for name, kernel in kernels.items():
        packed[f"{name}.weight"] = kernel.pack(tensors[f"{name}.weight"], precision)
        packed[f"{name}.bias"] = packing.pack_bias(tensors[f"{name}.bias"])
    return {**tensors, **packing.in_one_place(packed)}
