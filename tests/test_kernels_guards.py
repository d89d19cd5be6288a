"""The kernels touch no memory but their tensors': a stray read or write ends a process of its own."""

from __future__ import annotations

import ctypes
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from kernel_cases import (
    NONE,
    Case,
    Factor,
    arguments,
    packed,
    poisoned,
    problem,
    run_and_check,
    single,
)
from kernel_library import Kernels, Map, loaded, stored

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DIRECT, STEM, WINOGRAD
from yolo_max.kernels.precision import Precision

GUARDED = [
    *[Case(c1, c2, k, s, 5, 6, activation=NONE, residual=True) for c1, c2, k, s in
      itertools.product((16, 24, 5), (16, 40, 7), (1, 3), (1, 2))],
    Case(3, 16, 3, 2, 7, 6, residual=True),
    Case(3, 7, 3, 2, 4, 4),
    Case(4, 20, (5, 7), (1, 3), 6, 9, padding=(1, 0, 2, 4)),  # more zeros to the right than there are inputs
    Case(16, 24, (3, 1), (2, 1), 7, 5, padding=0),
    Case(24, 40, 3, 1, 6, 5, padding=0),
    Case(12, 20, 3, 1, 5, 6, groups=4, activation=Activation.PRELU),  # narrow groups, one of them
    Case(48, 60, 1, 2, 5, 6, groups=3, activation=Activation.PRELU, factor=Factor.IMAGE),  # unaligned
    *[Case(c, c, k, s, 5, 9, groups=c, activation=Activation.PRELU, residual=True, factor=Factor.MAP)
      for c, k, s in itertools.product((16, 24, 5), (3, 5), (1, 2))],
]  # fmt: skip


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize("case", GUARDED, ids=str)
def test_nothing_is_touched_outside_of_the_tensors(
    kernels: Kernels, case: Case, at_end: bool, precision: Precision
) -> None:
    for kernel in case.kernels():
        p = problem(case, precision, False)
        memory = Guarded(at_end=at_end)
        x = Map(memory.copy(stored(p.x, precision)))
        if kernel is not STEM:
            # The view's last channels, or its first ones, lie next to what must not be touched.
            tensor = np.zeros((*p.x.shape[:3], case.c1 + 3), np.float32)
            start = 3 if at_end else 0
            tensor[..., start : start + case.c1] = p.x
            x = Map(memory.copy(stored(tensor, precision)), start, case.c1)
        weight, bias = map(memory.copy, packed(p, kernel, precision))
        others: dict[str, Any] = {
            name: None if values is None else Map(memory.copy(stored(values, precision)))
            for name, values in (("residual", p.residual), ("factor", p.factor))
        }
        result = memory.copy(poisoned(p.exact.shape, precision))
        convolve = partial(
            single(kernels).convolve,
            kernel,
            [x],
            weight,
            bias,
            result,
            **others,
            **arguments(p),
        )
        assert survives(partial(run_and_check, convolve, result, memory)), f"{kernel} strays"


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize(("doubled", "fine"), [(16, 7), (32, 0)])
def test_doubled_channels_are_not_read_beyond_either(
    kernels: Kernels, doubled: int, fine: int, at_end: bool, precision: Precision
) -> None:
    memory = Guarded(at_end=at_end)
    shapes = [(1, 3, 2, doubled), (1, 6, 4, fine)] if fine else [(1, 3, 2, doubled)]
    maps = [
        Map(memory.copy(stored(np.ones(shape, np.float32), precision)), doubled=not i)
        for i, shape in enumerate(shapes)
    ]
    filters = np.ones((1, 1, doubled + fine, 40), np.float32)
    weight = memory.copy(DIRECT.pack(filters, precision))
    bias = memory.copy(packing.pack_bias(np.ones(40, np.float32)))
    result = memory.copy(poisoned((1, 6, 4, 40), precision))
    convolve = partial(
        single(kernels).convolve, DIRECT, maps, weight, bias, result, k=1, s=1, activation=NONE
    )
    assert survives(partial(run_and_check, convolve, result, memory))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("channels", [16, 24, 5])
def test_pool_and_masked_tiles_touch_nothing_else(
    kernels: Kernels, channels: int, at_end: bool, precision: Precision
) -> None:
    alone = single(kernels)
    memory = Guarded(at_end=at_end)
    p = problem(Case(channels, 7, 1, 1, 4, 3, activation=NONE), precision, False)
    x = Map(memory.copy(stored(p.x, precision)))
    pooled = memory.copy(poisoned(p.x.shape, precision))
    some = np.arange(12, dtype=np.float32).reshape(1, 4, 3, 1) % 3 > 0  # of the last tile's columns, all rows
    mask = Map(memory.copy(stored(some.astype(np.float32), precision)))
    filters = memory.copy(packing.pack_tiles(np.ones((3, 3, channels, 7), np.float32), packing.WINOGRAD_G))
    bias = memory.copy(packing.pack_bias(p.bias))
    tiles = memory.copy(poisoned((1, 4, 3, 7), precision))

    def run() -> None:
        alone.max_pool(x, 5, pooled)
        alone.convolve(WINOGRAD, [x], filters, bias, tiles, k=3, s=1, mask=mask, halo=1)
        assert np.isfinite(loaded(tiles)).all()
        assert np.isfinite(loaded(pooled)).all()
        assert memory.intact()

    assert survives(run), "max_pool or winograd read or write outside of their tensors"


def test_the_guards_hold() -> None:
    memory = Guarded(at_end=True)
    array = memory.copy(np.zeros(10, np.float32))

    assert not survives(partial(ctypes.memset, array.ctypes.data + array.nbytes, 0, 1))
    assert memory.intact()
    memory.left[0][100] = 1  # before the array, on its own page
    assert not memory.intact()
