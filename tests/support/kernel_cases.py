"""Convolutions with numbers, what PyTorch makes of them in float64, and how exact the kernels have to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import pytest
from guarded import Guarded
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import KERNELS, ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window

torch = pytest.importorskip("torch")

F32, BF16 = Precision
NONE, SILU = Activation.NONE, Activation.SILU
UNIT = 2.0**-24
"""Half of the distance between neighbouring float32 around 1."""


@dataclass(frozen=True)
class Case:
    """One convolution, and what follows it."""

    c1: int
    c2: int
    k: int | Pair
    s: int | Pair
    height: int
    width: int
    batch: int = 1
    activation: Activation = SILU
    residual: bool = False
    padding: int | Pair | tuple[int, int, int, int] | None = None
    dilation: int | Pair = 1
    groups: int = 1
    residual_first: bool = False
    residual_scale: float = 1.0
    factor: Factor | None = None

    def __str__(self) -> str:
        parts = [f"{self.c1}-{self.c2}-k{self.k}s{self.s}-{self.batch}x{self.height}x{self.width}"]
        parts += [f"p{self.padding}"] * (self.padding is not None)
        parts += [f"d{self.dilation}"] * (self.dilation != 1)
        parts += [f"g{self.groups}"] * (self.groups != 1)
        parts += (
            [] if self.activation is SILU else [self.activation.name.lower() if self.activation else "plain"]
        )
        parts += ["residual"] * self.residual
        return "-".join(parts).replace(" ", "")

    def window(self) -> Window:
        """Its geometry."""
        return Window.of(self.k, self.s, self.padding, self.dilation, self.groups)

    def kernels(self) -> list[ConvKernel]:
        """All that can compute it."""
        return [kernel for kernel in KERNELS if kernel.fits(self.c1, self.c2, self.window(), F32)]


class Factor(StrEnum):
    """Shape of what outputs are multiplied with."""

    MAP = "map"
    IMAGE = "image"


@dataclass
class Problem:
    """A case with numbers, and what it should give."""

    case: Case
    x: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    slopes: NDArray[np.float32]
    residual: NDArray[np.float32] | None
    factor: NDArray[np.float32] | None
    exact: NDArray[np.float64]


SLOPE = float(np.float32(0.1))
"""Of LeakyReLU, in all cases, as the kernels have it."""


def activated(y: Any, activation: Activation, slopes: NDArray[Any]) -> Any:
    """Of NCHW: PyTorch's, and GELU as it is defined: PyTorch's loses digits below -1."""
    functional = torch.nn.functional
    return {
        NONE: lambda: y,
        SILU: lambda: functional.silu(y),
        Activation.RELU: lambda: functional.relu(y),
        Activation.RELU6: lambda: functional.relu6(y),
        Activation.LEAKY_RELU: lambda: functional.leaky_relu(y, SLOPE),
        Activation.PRELU: lambda: functional.prelu(y, torch.from_numpy(slopes).to(y.dtype)),
        Activation.HARD_SIGMOID: lambda: functional.hardsigmoid(y),
        Activation.HARD_SWISH: lambda: functional.hardswish(y),
        Activation.SIGMOID: lambda: torch.sigmoid(y),
        Activation.TANH: lambda: torch.tanh(y),
        Activation.GELU: lambda: y * torch.special.erfc(-y * 0.5**0.5) / 2,
        Activation.GELU_TANH: lambda: y * torch.sigmoid((8 / torch.pi) ** 0.5 * (y + 0.044715 * y**3)),
    }[activation]()


def convolution(
    case: Case,
    x: NDArray[Any],
    filters: NDArray[Any],
    bias: NDArray[Any],
    slopes: NDArray[Any],
    residual: NDArray[Any] | None = None,
    factor: NDArray[Any] | None = None,
) -> Any:
    """PyTorch's, of NHWC and RSCF, in float64."""
    functional = torch.nn.functional
    window = case.window()
    top, left, bottom, right = window.padding
    nchw = torch.from_numpy(x).double().permute(0, 3, 1, 2).contiguous()
    nchw = functional.pad(nchw, (left, right, top, bottom))
    oihw = torch.from_numpy(filters).double().permute(3, 2, 0, 1).contiguous()
    doubles = torch.from_numpy(bias).double()
    y = functional.conv2d(nchw, oihw, doubles, window.stride, 0, window.dilation, window.groups)
    added = 0 if residual is None else torch.from_numpy(residual).double().permute(0, 3, 1, 2)
    added = added * case.residual_scale
    if case.residual_first:
        y, added = y + added, 0
    y = activated(y, case.activation, slopes)
    if factor is not None:
        y = y * torch.from_numpy(factor).double().permute(0, 3, 1, 2)
    return (y + added).permute(0, 2, 3, 1).numpy()


@cache
def problem(case: Case, precision: Precision, weights_rounded: bool) -> Problem:
    """Random numbers of a natural size: unit inputs, outputs of about one."""
    rng = np.random.default_rng(abs(hash((case.c1, case.c2, case.k, case.height))))

    def activations(*shape: int) -> NDArray[np.float32]:
        return loaded(stored(rng.standard_normal(shape).astype(np.float32), precision))

    window = case.window()
    x = activations(case.batch, case.height, case.width, case.c1)
    shape = (*window.kernel, case.c1 // case.groups, case.c2)
    filters = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32)
    if weights_rounded:
        filters = loaded(packing.to_bf16(filters))
    bias = rng.standard_normal(case.c2).astype(np.float32)
    size = (case.batch, *window.outputs(case.height, case.width), case.c2)
    residual = activations(*size) if case.residual else None
    per_image = (case.batch, 1, 1, case.c2)
    factor = activations(*(per_image if case.factor is Factor.IMAGE else size)) if case.factor else None
    slopes = rng.uniform(-0.5, 0.5, case.c2).astype(np.float32)
    exact = convolution(case, x, filters, bias, slopes, residual, factor)
    return Problem(case, x, filters, bias, slopes, residual, factor, exact)


def poisoned(shape: Sequence[int], precision: Precision) -> NDArray[Any]:
    """An output buffer full of NaN."""
    return stored(np.full(shape, np.nan, np.float32), precision)


def arguments(p: Problem) -> dict[str, Any]:
    """What ``Kernels.convolve`` is told of a problem beside its arrays."""
    names = ("k", "s", "padding", "dilation", "groups", "activation", "residual_first", "residual_scale")
    return {name: getattr(p.case, name) for name in names} | {"slope": SLOPE}


def packed(p: Problem, kernel: ConvKernel, precision: Precision) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Its filters and biases."""
    slopes = p.slopes if p.case.activation is Activation.PRELU else None
    return kernel.pack(p.filters, precision, p.case.groups), packing.pack_bias(p.bias, slopes)


def solve(kernels: Kernels, p: Problem, kernel: ConvKernel, precision: Precision) -> NDArray[np.float32]:
    result = poisoned(p.exact.shape, precision)
    kernels.convolve(
        kernel,
        [Map(stored(p.x, precision))],
        *packed(p, kernel, precision),
        result,
        residual=None if p.residual is None else Map(stored(p.residual, precision)),
        factor=None if p.factor is None else Map(stored(p.factor, precision)),
        **arguments(p),
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
        terms = np.prod(p.filters.shape[:3])
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
