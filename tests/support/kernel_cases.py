"""Convolutions with numbers, what PyTorch makes of them in float64, and how exact the kernels have to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from kernel_harness import Guarded, Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DIRECT, POLYPHASE, STEM, WINOGRAD, ConvKernel
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")

F32, BF16 = Precision
NONE, SILU = Activation.NONE, Activation.SILU
UNIT = 2.0**-24
"""Half of the distance between neighbouring float32 around 1."""


@dataclass(frozen=True)
class Case:
    """One convolution."""

    c1: int
    c2: int
    k: int
    s: int
    height: int
    width: int
    batch: int = 1
    activation: Activation = SILU
    residual: bool = False

    def __str__(self) -> str:
        return (
            f"{self.c1}-{self.c2}-k{self.k}s{self.s}-{self.batch}x{self.height}x{self.width}"
            + ("" if self.activation else "-plain")
            + ("-residual" if self.residual else "")
        )

    def kernels(self) -> list[ConvKernel]:
        """All that can compute it."""
        found = [DIRECT]
        found += [STEM] * ((self.c1, self.k, self.s) == (3, 3, 2))
        found += [WINOGRAD] * ((self.k, self.s) == (3, 1))
        found += [POLYPHASE] * ((self.k, self.s) == (3, 2))
        return found


@dataclass
class Problem:
    """A case with numbers, and what it should give."""

    case: Case
    x: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    residual: NDArray[np.float32] | None
    exact: NDArray[np.float64]


def convolution(
    x: NDArray[Any],
    filters: NDArray[Any],
    bias: NDArray[Any],
    s: int,
    activation: Activation,
    residual: NDArray[Any] | None,
) -> Any:
    """PyTorch's, of NHWC and RSCF, in float64."""
    nchw = torch.from_numpy(x).double().permute(0, 3, 1, 2).contiguous()
    oihw = torch.from_numpy(filters).double().permute(3, 2, 0, 1).contiguous()
    y = torch.nn.functional.conv2d(nchw, oihw, torch.from_numpy(bias).double(), s, len(filters) // 2)
    if activation is SILU:
        y = torch.nn.functional.silu(y)
    y = y.permute(0, 2, 3, 1).numpy()
    return y if residual is None else y + residual


@cache
def problem(case: Case, precision: Precision, weights_rounded: bool) -> Problem:
    """Random numbers of a natural size: unit inputs, outputs of about one."""
    rng = np.random.default_rng(abs(hash((case.c1, case.c2, case.k, case.height))))

    def activations(*shape: int) -> NDArray[np.float32]:
        return loaded(stored(rng.standard_normal(shape).astype(np.float32), precision))

    x = activations(case.batch, case.height, case.width, case.c1)
    scale = 1 / np.sqrt(case.c1 * case.k**2)
    filters = (rng.standard_normal((case.k, case.k, case.c1, case.c2)) * scale).astype(np.float32)
    if weights_rounded:
        filters = loaded(packing.to_bf16(filters))
    bias = rng.standard_normal(case.c2).astype(np.float32)
    height, width = ((size + 2 * (case.k // 2) - case.k) // case.s + 1 for size in (case.height, case.width))
    residual = activations(case.batch, height, width, case.c2) if case.residual else None
    exact = convolution(x, filters, bias, case.s, case.activation, residual)
    return Problem(case, x, filters, bias, residual, exact)


def poisoned(shape: Sequence[int], precision: Precision) -> NDArray[Any]:
    """An output buffer full of NaN."""
    return stored(np.full(shape, np.nan, np.float32), precision)


def solve(kernels: Kernels, p: Problem, kernel: ConvKernel, precision: Precision) -> NDArray[np.float32]:
    result = poisoned(p.exact.shape, precision)
    kernels.convolve(
        kernel,
        [Map(stored(p.x, precision))],
        kernel.pack(p.filters, precision),
        packing.pack_bias(p.bias),
        result,
        k=p.case.k,
        s=p.case.s,
        activation=p.case.activation,
        residual=None if p.residual is None else Map(stored(p.residual, precision)),
    )
    return loaded(result)


def check(got: NDArray[np.float32], p: Problem, precision: Precision) -> None:
    """Fails unless the result is as exact as the kernel promises."""
    assert np.isfinite(got).all(), "an output was not written, or something unwritten was read"
    error = np.abs(got - p.exact)
    if precision is F32:
        assert error.max() <= 5e-4 * max(1, np.abs(p.exact).max() / 10)
        # A sum of n terms in float32 is expected to be off by about sqrt(n) / 2 units (measured: 0.3 to 0.6
        # by the direct kernels). Winograd's transforms cost accuracy, up to 0.9, which fewer terms give back.
        terms = p.case.c1 * p.case.k**2
        assert np.sqrt(np.mean(error**2)) <= UNIT * (np.sqrt(terms) + 2)
    else:
        # Sums are float32, so the only error of any size is that of rounding the result: half a unit in the
        # last of eight bits.
        assert (error <= np.abs(p.exact) * 2.0**-8 + 1e-4).all()


def run_and_check(convolve: Callable[[], None], result: NDArray[Any], memory: Guarded) -> None:
    convolve()
    assert np.isfinite(loaded(result)).all()
    assert memory.intact()


def single(kernels: Kernels) -> Kernels:
    """The same kernels on one thread, for a process that has just been forked."""
    return Kernels(kernels.path, workers=1)
