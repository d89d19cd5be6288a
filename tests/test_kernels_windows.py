"""Convolutions with any window, by every kernel that can compute them, against PyTorch in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import (
    F32,
    NONE,
    Case,
    Factor,
    arguments,
    check,
    convolution,
    packed,
    poisoned,
    problem,
    solve,
)
from kernel_library import Kernels, Map, loaded, stored

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DEPTHWISE, DIRECT, HALVING, POLYPHASE, STEM, WINOGRAD, ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window

RELU = Activation.RELU

WINDOWS = [
    Case(24, 40, (1, 7), 1, 9, 13),  # rectangular, as Inception has them
    Case(24, 40, (7, 1), 1, 9, 13),
    Case(16, 20, (2, 5), (3, 2), 11, 12, padding=(1, 2)),  # even, other strides
    Case(20, 16, 3, 1, 12, 14, padding=2, dilation=2),  # dilated, as DeepLab has it
    Case(20, 16, 3, 1, 12, 14, padding=(4, 1), dilation=(4, 1)),
    Case(16, 16, 3, 2, 12, 15, padding=3, dilation=(2, 3)),  # columns of a tap in every phase
    Case(16, 16, (1, 3), 4, 9, 18, padding=0),  # phases that no tap is in
    Case(24, 40, 1, 2, 9, 13),  # a ResNet's shortcut
    Case(24, 40, 1, 1, 5, 6, padding=2),  # 1x1 with a rim of biases
    Case(16, 16, 3, 1, 9, 8, padding=0),
    Case(16, 24, 3, 1, 9, 8, padding=(0, 1, 2, 2), batch=2),  # asymmetric
    Case(16, 24, 3, 2, 9, 8, padding=(0, 0, 1, 1)),  # TensorFlow's "same"
    Case(16, 24, 3, 2, 10, 9, padding=(2, 1, 0, 2)),
    Case(16, 24, 3, 2, 37, 31, padding=(0, 1, 2, 2)),  # large enough for polyphase
    Case(16, 24, 3, 1, 4, 5, padding=7),  # more zeros than a kernel has taps
    Case(16, 16, 5, 1, 3, 2, padding=(2, 2)),  # a kernel larger than the map
    Case(3, 64, 7, 2, 33, 30, activation=RELU),  # a ResNet's stem
    Case(3, 20, 4, 4, 16, 20, padding=0, activation=NONE),  # a ConvNeXt's
    Case(3, 24, 3, 1, 9, 17),  # a VGG's
    Case(1, 16, 5, 1, 9, 8, padding=0),  # grey
    Case(4, 16, (3, 9), (1, 2), 9, 31, padding=(1, 4)),  # 36 numbers under a row of the kernel: three parts
    Case(2, 7, (3, 2), (2, 3), 9, 10, padding=(3, 0, 0, 2), dilation=(2, 1)),
    Case(24, 24, 3, 1, 7, 9, groups=3),  # groups that are no whole blocks
    Case(32, 64, 3, 2, 7, 9, groups=2),
    Case(128, 128, 3, 1, 7, 6, groups=32),  # a ResNeXt's: four channels each
    Case(12, 24, 1, 1, 5, 6, groups=12),  # two outputs per channel
    Case(40, 20, 1, 1, 5, 6, groups=5, batch=2, activation=Activation.PRELU),
]

DEPTHWISE_WINDOWS = [
    *[Case(c, c, k, s, 13, 21, groups=c, activation=Activation.RELU6) for c, k, s in
      itertools.product((16, 40), (3, 5, 7), (1, 2))],
    Case(200, 200, 3, 1, 7, 7, groups=200, batch=2),  # more channels than await the epilogue together
    Case(5, 5, 3, 1, 6, 6, groups=5, residual=True),
    Case(16, 16, 3, 1, 1, 1, groups=16, batch=3),  # a single pixel
    Case(16, 16, 7, 1, 3, 2, groups=16),  # every output at an edge
    Case(24, 24, (1, 5), (3, 1), 8, 19, groups=24, padding=(0, 0, 1, 3)),
    Case(24, 24, 3, 1, 17, 19, groups=24, padding=(3, 3), dilation=3),
    Case(24, 24, 3, 2, 9, 8, groups=24, padding=(0, 0, 1, 1)),
    Case(32, 32, 3, 1, 4, 5, groups=32, padding=6),  # outputs without a tap on the map
    Case(48, 48, 3, 1, 9, 33, groups=48, activation=Activation.HARD_SWISH, factor=Factor.IMAGE, batch=2),
]  # fmt: skip


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("case", [*WINDOWS, *DEPTHWISE_WINDOWS], ids=str)
def test_windows(kernels: Kernels, case: Case, precision: Precision) -> None:
    for kernel in case.kernels():
        p = problem(case, precision, kernel.weight_dtype(precision) is not np.float32)
        check(solve(kernels, p, kernel, precision), p, precision)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any geometry that has outputs."""

    def pair(least: int, most: int) -> tuple[int, int]:
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    k, s, dilation, size = pair(1, 5), pair(1, 4), pair(1, 3), pair(1, 20)
    top, left = pair(0, 6)
    # So much below and right that there is at least one output.
    below, right = (
        max(0, (taps - 1) * d + 1 - length - before) + draw(st.integers(0, 3))
        for taps, d, length, before in zip(k, dilation, size, (top, left), strict=True)
    )
    groups, inputs, outputs = (draw(st.integers(1, most)) for most in (4, 20, 20))
    if draw(st.booleans()):
        groups, inputs, outputs = inputs + 1, 1, 1
    batch, activation = draw(st.integers(1, 2)), draw(st.sampled_from([NONE, RELU]))
    geometry: dict[str, Any] = {"padding": (top, left, below, right), "dilation": dilation, "groups": groups}
    return Case(groups * inputs, groups * outputs, k, s, *size, batch, activation, **geometry)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), precision=st.sampled_from(Precision))
def test_any_window(kernels: Kernels, case: Case, precision: Precision) -> None:
    test_windows(kernels, case, precision)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(
    "slices",
    [
        # (channels of the tensor, first, taken, doubled)
        [(64, 32, 32, False)],
        [(32, 0, 32, True), (48, 0, 48, False)],
        [(7, 1, 5, True), (9, 2, 3, False), (40, 3, 30, False)],  # odd: blocks that begin anywhere
    ],
    ids=str,
)
@pytest.mark.parametrize("s", [1, 2])
def test_depthwise_reads_views(
    kernels: Kernels, slices: list[tuple[int, int, int, bool]], s: int, precision: Precision
) -> None:
    rng = np.random.default_rng(3)
    maps = []
    for total, start, channels, doubled in slices:
        size = (2, 5, 7) if doubled else (2, 10, 14)
        # What is not taken must not be read: it is NaN.
        tensor = np.full((*size, total), np.nan, np.float32)
        tensor[..., start : start + channels] = rng.standard_normal((*size, channels))
        maps.append(Map(stored(tensor, precision), start, channels, doubled))
    whole = np.concatenate([loaded(m.values()) for m in maps], axis=3)
    c = whole.shape[3]
    p = problem(Case(c, c, 3, s, 10, 14, 2, groups=c), precision, False)
    p.exact = convolution(p.case, whole, p.filters, p.bias, p.slopes)
    result = poisoned(p.exact.shape, precision)
    kernels.convolve(DEPTHWISE, maps, *packed(p, DEPTHWISE, precision), result, **arguments(p))
    check(loaded(result), p, precision)


@pytest.mark.parametrize(
    ("kernel", "c1", "c2", "geometry"),
    [
        (STEM, 3, 16, {"k": 3, "s": 2}),
        (STEM, 3, 64, {"k": 7, "s": 2}),
        (DIRECT, 3, 16, {"k": 3, "dilation": 2, "padding": 2}),  # its runs are not consecutive
        (DEPTHWISE, 40, 40, {"k": 5, "groups": 40}),
        (DIRECT, 40, 80, {"k": 3, "groups": 40}),  # two outputs per channel
        (WINOGRAD, 16, 16, {"k": 3}),
        (WINOGRAD, 16, 16, {"k": 3, "padding": 0}),
        (DIRECT, 16, 16, {"k": 3, "padding": 3}),
        (DIRECT, 16, 16, {"k": 3, "dilation": 2, "padding": 2}),
        (DIRECT, 16, 16, {"k": 3, "groups": 2}),
        (HALVING, 16, 16, {"k": 3, "s": 2}),
        (DIRECT, 16, 16, {"k": 3, "s": (2, 1)}),
        (DIRECT, 16, 16, {"k": (1, 7)}),
        (DIRECT, 16, 16, {"k": 1}),
    ],
)
def test_a_kernel_is_chosen_where_it_fits(
    kernel: ConvKernel, c1: int, c2: int, geometry: dict[str, Any]
) -> None:
    given = {"s": 1} | geometry
    assert ConvKernel.choose(c1, precision=F32, c2=c2, **given) is kernel


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "height", "width", "algorithm"),
    [
        (WINOGRAD, 1, 1, DIRECT),
        (WINOGRAD, 2, 9, DIRECT),
        (WINOGRAD, 3, 3, WINOGRAD),
        (WINOGRAD, 9, 1, WINOGRAD),  # rows decide
        (HALVING, 28, 27, DIRECT),  # 14 x 14 outputs, a quarter of their tiles outside
        (HALVING, 4, 80, DIRECT),  # half of them
        (HALVING, 40, 37, POLYPHASE),  # 20 x 19
        (HALVING, 16, 15, POLYPHASE),  # whole tiles
        (HALVING, 26, 32, POLYPHASE),  # 13 x 16: the fewest
    ],
)
def test_the_algorithm_follows_the_size_of_the_map_in_any_batch(
    kernels: Kernels, kernel: ConvKernel, height: int, width: int, algorithm: ConvKernel, batch: int
) -> None:
    stride = 2 if kernel is HALVING else 1
    p = problem(Case(32, 40, 3, stride, height, width, batch), F32, False)
    assert kernel.algorithm(*p.exact.shape[1:3]) is algorithm
    got = solve(kernels, p, kernel, F32)
    is_direct = np.array_equal(got, solve(kernels, p, DIRECT, F32))
    assert is_direct == (algorithm is DIRECT)
    if algorithm is POLYPHASE:
        np.testing.assert_array_equal(got, solve(kernels, p, POLYPHASE, F32))


@pytest.mark.parametrize(
    "numbers", [{"k": 0}, {"k": 3, "s": 0}, {"k": 3, "padding": -1}, {"k": 3, "groups": 0}]
)
def test_what_is_no_window_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="There is no convolution with"):
        Window.of(**numbers)


def test_channels_that_cannot_be_grouped_are_refused(kernels: Kernels) -> None:
    p = problem(Case(64, 48, 1, 1, 4, 4, groups=4), F32, False)
    weights, result = packed(p, DIRECT, F32), poisoned(p.exact.shape, F32)
    with pytest.raises(ValueError, match="15 and 48 channels cannot be divided into 4 groups"):
        kernels.convolve(DIRECT, [Map(p.x, 0, 15)], *weights, result, k=1, s=1, groups=4)
