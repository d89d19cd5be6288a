"""What follows the sums of a convolution: activations, residuals, factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernel_cases import BF16, F32, SLOPE, Case, Factor, activated, check, poisoned, problem, solve
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DIRECT
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")

UNIT = 2.0**-24
"""Half of the distance between neighbouring float32 around 1."""
SPECIAL = [0, -0.0, 1e-30, -1e-30, 3, -3, 6, 100, -100, 1e4, -1e4, -1e9, -1e20, -3e38]


def through(
    kernels: Kernels, x: NDArray[np.float32], activation: Activation, precision: Precision
) -> NDArray[np.float32]:
    """What a convolution with the unit matrix makes of numbers."""
    pixels = np.resize(x, (1, 1, -(-x.size // 16), 16))
    slopes = np.full(16, -0.25, np.float32) if activation is Activation.PRELU else None
    result = poisoned(pixels.shape, precision)
    kernels.convolve(
        DIRECT,
        [Map(stored(pixels, precision))],
        packing.pack_direct(np.eye(16, dtype=np.float32)[None, None], precision),
        packing.pack_bias(np.zeros(16, np.float32), slopes),
        result,
        k=1,
        s=1,
        activation=activation,
        slope=SLOPE,
    )
    return loaded(result).reshape(-1)[: x.size]


EXPONENTS: dict[Activation, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    Activation.SILU: lambda x: x,
    Activation.GELU: lambda x: x**2 / 2,
    Activation.GELU_TANH: lambda x: 1.6 * x + 0.072 * x**3,
}
"""Of e, where they are rounded to float32."""


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("activation", Activation)
def test_activations_over_their_whole_range(
    kernels: Kernels, activation: Activation, precision: Precision
) -> None:
    ranges = np.linspace(-120, 120, 4000), np.linspace(-8, 8, 8000), SPECIAL
    x = loaded(stored(np.concatenate(ranges).astype(np.float32), precision))
    got = through(kernels, x, activation, precision)
    wide = torch.from_numpy(x).double()[None]
    exact = activated(wide, activation, np.full(1, -0.25, np.float32))[0].numpy()
    if precision is BF16:
        assert (np.abs(got - exact) <= np.abs(exact) * 2.0**-8 + 1e-4).all()
        return
    exponent = EXPONENTS.get(activation, np.zeros_like)(x.astype(np.float64))
    units = 8 + 2 * np.minimum(np.abs(exponent), 100)
    assert (np.abs(got - exact) <= UNIT * units * np.abs(exact) + 1e-30).all()


RANGES = [(-8, -4), (-4, -2), (-2, -0.5), (-0.5, 0), (0, 0.1), (0.1, 1), (1, 4), (4, 16)]
TAIL = -2
"""SiLU's exponential spares an instruction, which shows below it alone: less than 0.25 counts as that."""


@pytest.mark.parametrize("activation", Activation)
def test_no_activation_errs_to_one_side(kernels: Kernels, activation: Activation) -> None:
    """Where much of a map is alike, errors of one sign add up from layer to layer."""
    means = {}
    for low, high in RANGES:
        x = np.random.default_rng(0).uniform(low, high, 100_000).astype(np.float32)
        wide = torch.from_numpy(x).double()[None]
        exact = activated(wide, activation, np.full(1, -0.25, np.float32))[0].numpy()
        silu = activation is Activation.SILU
        least, bound = (0.25, 0.2) if silu and high <= TAIL else (0, 0.15 if silu else 0.2)
        units = np.spacing(np.maximum(np.abs(exact), least).astype(np.float32))
        means[low, high] = float(np.mean((through(kernels, x, activation, F32) - exact) / units)) / bound
    assert all(abs(mean) <= 1 for mean in means.values()), means


@pytest.mark.parametrize("activation", [Activation.SILU, Activation.GELU, Activation.GELU_TANH])
def test_far_below_zero_is_zero(kernels: Kernels, activation: Activation) -> None:
    """Sums of what is all but 0 are denormal numbers, which take many times as long."""
    got = through(kernels, np.array([-87, -88, -100, -1e4, -3e38], np.float32), activation, F32)
    assert (got == 0).all()


@pytest.mark.parametrize("activation", Activation)
def test_what_is_no_number_stays_none(kernels: Kernels, activation: Activation) -> None:
    got = through(kernels, np.full(16, np.nan, np.float32), activation, F32)
    assert np.isnan(got).all()


FOLLOWED: list[dict[str, Any]] = [
    # Winograd, polyphase, direct, stem; channels that end within a block
    {"c1": 16, "c2": 40, "k": 3, "s": 1},
    {"c1": 16, "c2": 40, "k": 3, "s": 2},
    {"c1": 24, "c2": 25, "k": 1, "s": 1},
    {"c1": 3, "c2": 16, "k": 3, "s": 2},
]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("shape", FOLLOWED, ids=str)
@pytest.mark.parametrize(
    "what",
    [
        {"activation": Activation.RELU, "residual": True, "residual_first": True},  # ResNet
        {"activation": Activation.SILU, "residual": True, "residual_scale": 0.2},
        {"activation": Activation.PRELU, "residual": True, "residual_first": True, "residual_scale": -1.5},
        {"activation": Activation.LEAKY_RELU, "residual": True, "factor": Factor.MAP},
        {"activation": Activation.HARD_SIGMOID, "factor": Factor.IMAGE},  # squeeze and excite
        {"activation": Activation.GELU, "factor": Factor.MAP},
    ],
    ids=lambda what: "-".join(map(str, what.values())),
)
def test_what_follows_the_sums(
    kernels: Kernels, shape: dict[str, Any], what: dict[str, Any], precision: Precision
) -> None:
    case = Case(**shape, height=9, width=11, batch=3, **what)
    for kernel in case.kernels():
        p = problem(case, precision, kernel.weight_dtype(precision) is not np.float32)
        check(solve(kernels, p, kernel, precision), p, precision)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 3, 16), "the factor is 2 x 4 x 3"),
        ((1, 1, 1, 16), "a factor of 1 images is given for 2"),
        ((2, 1, 1, 8), "the factor has 8 channels where 16 are needed"),
    ],
)
def test_factors_that_do_not_fit_are_refused(kernels: Kernels, shape: tuple[int, ...], message: str) -> None:
    p = problem(Case(16, 16, 1, 1, 4, 4, 2), F32, False)
    weight, bias = DIRECT.pack(p.filters, F32), packing.pack_bias(p.bias)
    factor, result = Map(np.zeros(shape, np.float32)), poisoned(p.exact.shape, F32)
    with pytest.raises(ValueError, match=message):
        kernels.convolve(DIRECT, [Map(p.x)], weight, bias, result, k=1, s=1, factor=factor)
