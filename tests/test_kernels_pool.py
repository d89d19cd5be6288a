"""Pools, called without a graph, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_cases import F32, poisoned, single
from kernel_library import Kernels, Map, loaded, stored
from max.graph import Dim
from numpy.typing import NDArray

from yolo_max.kernels import pools
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, POOLS
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")

functional = torch.nn.functional

Axes = tuple[tuple[int, int, int, int], tuple[int, int, int, int]]
"""Kernel, stride, padding and dilation, of the height and of the width."""


def nchw(x: NDArray[Any]) -> Any:
    return torch.from_numpy(np.ascontiguousarray(loaded(x).transpose(0, 3, 1, 2))).double()


def nhwc(x: Any) -> NDArray[np.float64]:
    result: NDArray[np.float64] = x.permute(0, 2, 3, 1).numpy()
    return result


def random_map(shape: tuple[int, ...], precision: Precision, seed: int = 0) -> Map:
    """Channels out of the middle of NaNs, all below zero: padding with zeros would show."""
    tensor = np.full((*shape[:3], shape[3] + 5), np.nan, np.float32)
    tensor[..., 2:-3] = np.random.default_rng(seed).uniform(-2, -1, shape)
    return Map(stored(tensor, precision), 2, shape[3])


def outputs(shape: tuple[int, ...], axes: Axes, ceil_mode: bool) -> tuple[int, ...]:
    return tuple(
        int(pools.pool_outputs(Dim(size), *axis, ceil_mode))
        for size, axis in zip(shape[1:3], axes, strict=True)
    )


def pool_largest(kernels: Kernels, x: Map, axes: Axes, result: NDArray[Any]) -> None:
    params = [0, *axes[0], *axes[1]]
    kernels.run(CONVOLUTIONS_AND_POOLS, pools.MAX_POOL, params, [x], None, None, result)


def pool_average(kernels: Kernels, x: Map, divisor: int, axes: Axes, result: NDArray[Any]) -> None:
    params = [divisor, *axes[0], *axes[1]]
    kernels.run(POOLS, pools.AVERAGE_POOL, params, [x], None, None, result)


def check_average(result: NDArray[Any], exact: NDArray[np.float64], precision: Precision) -> None:
    got = loaded(result)
    assert np.isfinite(got).all()
    unit = 2.0**-20 if precision is F32 else 2.0**-8
    assert (np.abs(got - exact) <= unit * np.maximum(np.abs(exact), 1e-3)).all()


CASES: list[tuple[tuple[int, int, int, int], Axes, bool]] = [
    # batch, height, width, channels; kernel, stride, padding, dilation of both axes; ceil mode
    ((1, 16, 20, 64), ((3, 2, 1, 1), (3, 2, 1, 1)), False),  # ResNet's
    ((2, 15, 13, 20), ((3, 2, 0, 1), (3, 2, 0, 1)), True),  # SqueezeNet's
    ((1, 14, 14, 32), ((2, 2, 0, 1), (2, 2, 0, 1)), False),  # VGG's
    ((1, 13, 9, 17), ((2, 2, 0, 1), (2, 2, 0, 1)), True),  # a window that ends behind the map
    (
        (1, 5, 7, 8),
        ((2, 3, 1, 1), (2, 3, 1, 1)),
        True,
    ),  # one less than the ceiling: it would begin in the padding
    ((1, 10, 12, 16), ((3, 1, 1, 1), (1, 2, 0, 1)), False),  # one axis at a time
    ((2, 11, 10, 5), ((3, 2, 1, 2), (2, 1, 1, 3)), False),  # dilated
    ((1, 1, 1, 16), ((3, 2, 1, 1), (3, 2, 1, 1)), False),  # a map of one pixel
    ((1, 6, 6, 33), ((6, 6, 0, 1), (6, 6, 0, 1)), False),  # one window
]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("shape", "axes", "ceil_mode"), CASES)
def test_max_pool(
    kernels: Kernels, shape: tuple[int, int, int, int], axes: Axes, ceil_mode: bool, precision: Precision
) -> None:
    x = random_map(shape, precision)
    k, s, p, d = zip(*axes, strict=True)
    exact = nhwc(functional.max_pool2d(nchw(x.values()), k, s, p, d, ceil_mode))
    result = poisoned((shape[0], *outputs(shape, axes, ceil_mode), shape[3]), precision)
    pool_largest(kernels, x, axes, result)
    np.testing.assert_array_equal(loaded(result), exact)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("divisor", [pools.INCLUDE_PADDING, pools.EXCLUDE_PADDING, 7])
@pytest.mark.parametrize(
    ("shape", "axes", "ceil_mode"), [case for case in CASES if {axis[3] for axis in case[1]} == {1}]
)
def test_average_pool(
    kernels: Kernels,
    shape: tuple[int, int, int, int],
    axes: Axes,
    ceil_mode: bool,
    divisor: int,
    precision: Precision,
) -> None:
    x = random_map(shape, precision)
    k, s, p, _ = zip(*axes, strict=True)
    override = divisor if divisor > 0 else None
    include = divisor == pools.INCLUDE_PADDING
    exact = nhwc(functional.avg_pool2d(nchw(x.values()), k, s, p, ceil_mode, include, override))
    result = poisoned((shape[0], *outputs(shape, axes, ceil_mode), shape[3]), precision)
    pool_average(kernels, x, divisor, axes, result)
    check_average(result, exact, precision)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 7, 7, 40), (1, 1)),  # the global average
        ((1, 13, 9, 16), (7, 7)),  # windows that overlap
        ((1, 3, 2, 16), (5, 4)),  # more outputs than inputs
        ((1, 6, 6, 5), (3, 2)),
    ],
)
def test_adaptive_pools(
    kernels: Kernels, shape: tuple[int, int, int, int], size: tuple[int, int], precision: Precision
) -> None:
    x = random_map(shape, precision)
    adaptive = ((0, 1, 0, 1), (0, 1, 0, 1))
    result = poisoned((shape[0], *size, shape[3]), precision)
    pool_average(kernels, x, pools.INCLUDE_PADDING, adaptive, result)
    check_average(result, nhwc(functional.adaptive_avg_pool2d(nchw(x.values()), size)), precision)
    pool_largest(kernels, x, adaptive, result)
    np.testing.assert_array_equal(
        loaded(result), nhwc(functional.adaptive_max_pool2d(nchw(x.values()), size))
    )


AXIS = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3))


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.integers(1, 35),
    axes=st.tuples(AXIS, AXIS),
    ceil_mode=st.booleans(),
    divisor=st.sampled_from([pools.INCLUDE_PADDING, pools.EXCLUDE_PADDING, 7]),
)
def test_any_geometry(
    kernels: Kernels, size: tuple[int, int], channels: int, axes: Axes, ceil_mode: bool, divisor: int
) -> None:
    for length, (k, _, p, d) in zip(size, axes, strict=True):
        assume(p <= k // 2 and length + 2 * p >= d * (k - 1) + 1)  # what PyTorch takes
    test_max_pool(kernels, (2, *size, channels), axes, ceil_mode, F32)
    down, across = ((*axis[:3], 1) for axis in axes)  # an average has no dilation
    test_average_pool(kernels, (2, *size, channels), (down, across), ceil_mode, divisor, F32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_where_pytorch_lets_it(kernels: Kernels, value: float) -> None:
    x = np.random.default_rng(0).standard_normal((1, 9, 9, 20)).astype(np.float32)
    x[0, 4, 4, 3] = x[0, 0, 8, 17] = value
    axes = ((3, 2, 1, 1), (3, 2, 1, 1))
    result = poisoned((1, 5, 5, 20), F32)
    pool_largest(kernels, Map(x), axes, result)
    np.testing.assert_array_equal(result, nhwc(functional.max_pool2d(nchw(x), 3, 2, 1)))
    pool_average(kernels, Map(x), pools.INCLUDE_PADDING, axes, result)
    np.testing.assert_allclose(result, nhwc(functional.avg_pool2d(nchw(x), 3, 2, 1)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize("channels", [16, 21])
def test_nothing_is_touched_outside_of_the_maps(
    kernels: Kernels, channels: int, at_end: bool, precision: Precision
) -> None:
    memory = Guarded(at_end=at_end)
    x = Map(memory.copy(stored(np.ones((1, 5, 6, channels), np.float32), precision)))
    result = memory.copy(poisoned((1, 3, 3, channels), precision))
    axes = ((3, 2, 1, 1), (3, 2, 1, 1))

    def run() -> None:
        pool_largest(single(kernels), x, axes, result)
        np.testing.assert_array_equal(loaded(result), 1)
        pool_average(single(kernels), x, pools.EXCLUDE_PADDING, axes, result)
        np.testing.assert_array_equal(loaded(result), 1)
        assert memory.intact()

    assert survives(run)


def test_a_result_of_other_channels_is_refused(kernels: Kernels) -> None:
    x = Map(np.zeros((1, 4, 4, 8), np.float32))
    with pytest.raises(ValueError, match="a pool of 8 channels does not have 9"):
        pool_largest(kernels, x, ((2, 2, 0, 1), (2, 2, 0, 1)), np.zeros((1, 2, 2, 9), np.float32))
