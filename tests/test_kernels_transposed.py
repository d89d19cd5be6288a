"""Transposed convolutions, against PyTorch in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import F32, activated, poisoned, run_and_check, single
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DIRECT
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, transposed_window

torch = pytest.importorskip("torch")

Transposed = tuple[int, int, int | Pair, int | Pair, int | Pair, tuple[int, int, int]]
TRANSPOSED: list[Transposed] = [
    # c1, c2, k, s, padding, (batch, height, width)
    (16, 16, 2, 2, 0, (1, 7, 9)),  # a U-Net's
    (40, 24, 2, 2, 0, (3, 5, 31)),  # channels that fill no block, several tiles
    (24, 40, 4, 2, 1, (2, 6, 7)),  # a DCGAN's
    (16, 16, 3, 2, 1, (1, 5, 6)),  # with PyTorch's output_padding=1: phases of one tap and of two
    (16, 7, 4, 4, 0, (1, 3, 3)),
    (5, 3, (2, 4), (1, 2), (0, 1), (2, 4, 5)),  # rectangular, of few channels
    (16, 16, 5, 1, 2, (1, 6, 6)),  # stride 1
    (16, 16, 4, 2, 1, (2, 1, 1)),  # a single pixel
    (16, 16, 6, 2, 4, (1, 5, 4)),  # more cut off above than below
]


@dataclass
class Problem:
    """A transposed convolution with numbers, and what it should give."""

    x: NDArray[Any]
    weight: NDArray[Any]
    bias: NDArray[np.float32]
    exact: NDArray[np.float64]
    geometry: dict[str, Any]

    def solve(self, kernels: Kernels, result: NDArray[Any]) -> None:
        maps, activation = [Map(self.x)], Activation.RELU
        kernels.conv_transpose(maps, self.weight, self.bias, result, **self.geometry, activation=activation)


def problem(
    c1: int,
    c2: int,
    k: int | Pair,
    s: int | Pair,
    padding: int | Pair,
    size: tuple[int, int, int],
    precision: Precision,
) -> Problem:
    rng = np.random.default_rng(0)
    window = transposed_window(k, s, padding)
    x = loaded(stored(rng.standard_normal((*size, c1)).astype(np.float32), precision))
    filters = rng.standard_normal((*window.kernel, c1, c2)).astype(np.float32) / np.float32(4 * c1**0.5)
    if precision is not F32:
        filters = loaded(packing.to_bf16(filters))
    bias = rng.standard_normal(c2).astype(np.float32)
    nchw, weight = (
        torch.from_numpy(a).double() for a in (x.transpose(0, 3, 1, 2), filters.transpose(2, 3, 0, 1))
    )
    y = torch.nn.functional.conv_transpose2d(nchw, weight, torch.from_numpy(bias).double(), window.stride)
    top, left = window.padding[:2]
    height, width = size[1] * window.stride[0], size[2] * window.stride[1]
    y = y[:, :, top : top + height, left : left + width]
    exact = activated(y, Activation.RELU, bias).permute(0, 2, 3, 1).numpy()

    packed = packing.pack_transposed(filters, window.stride, (top, left), precision)
    assert packed.size == DIRECT.packed_size(c1, c2, window, precision), "each tap belongs to one phase"
    geometry = {"k": k, "s": s, "padding": padding}
    return Problem(stored(x, precision), packed, packing.pack_bias(bias), exact, geometry)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolutions(kernels: Kernels, case: Transposed, precision: Precision) -> None:
    p = problem(*case, precision)
    result = poisoned(p.exact.shape, precision)
    p.solve(kernels, result)
    bound = 1e-5 if precision is F32 else np.abs(p.exact) * 2.0**-8 + 1e-4
    assert (np.abs(loaded(result) - p.exact) <= bound).all()


UP_TO_3 = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=40)
@given(
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    s=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    cut=UP_TO_3,
    below=UP_TO_3,
    size=st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 20)),
    precision=st.sampled_from(Precision),
)
def test_any_geometry(
    kernels: Kernels,
    channels: tuple[int, int],
    s: Pair,
    cut: Pair,
    below: Pair,
    size: tuple[int, int, int],
    precision: Precision,
) -> None:
    """Whatever is cut off above and below: the rest is the input's size times the stride."""
    k = s[0] + cut[0] + below[0], s[1] + cut[1] + below[1]
    test_transposed_convolutions(kernels, (*channels, k, s, cut, size), precision)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_nothing_is_touched_outside_of_the_tensors(
    kernels: Kernels, case: Transposed, at_end: bool, precision: Precision
) -> None:
    p, memory = problem(*case, precision), Guarded(at_end=at_end)
    p.x, p.weight, p.bias = map(memory.copy, (p.x, p.weight, p.bias))
    result = memory.copy(poisoned(p.exact.shape, precision))
    solve = partial(p.solve, single(kernels), result)
    assert survives(partial(run_and_check, solve, result, memory)), "it strays"


def test_what_is_cut_off_leaves_the_size() -> None:
    with pytest.raises(ValueError, match="There is no convolution with"):
        transposed_window(2, 2, 1)
