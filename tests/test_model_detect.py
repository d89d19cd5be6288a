"""The detection head's kernels, called as ``test_kernels`` calls the others, against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guarded import Guarded, survives
from kernel_cases import BF16, F32, NONE, Case, convolution, poisoned, problem, single
from kernel_library import Kernels, Map, loaded, stored

from yolo_max.kernels import packing
from yolo_max.kernels.precision import Precision


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("share", [1, 0.3, 0])  # of cells that are candidates
@pytest.mark.parametrize(
    ("batch", "sizes", "hidden", "nc"),
    [
        (1, [(12, 8), (6, 4), (3, 2)], (64, 80), 80),
        (3, [(4, 4), (2, 2), (1, 1)], (64, 64), 1),  # a single class, down to a map of one pixel
        (2, [(5, 3), (3, 2)], (24, 16), 6),  # other numbers of levels and channels
    ],
)
def test_the_head_writes_candidates_and_no_others(
    kernels: Kernels,
    batch: int,
    sizes: list[tuple[int, int]],
    hidden: tuple[int, int],
    nc: int,
    share: float,
    precision: Precision,
) -> None:
    rng = np.random.default_rng(1)
    maps, weights, biases, rows, found = [], [], [], [], []
    for height, width in sizes:
        columns = []
        for c1, c2 in zip(hidden, (64, nc), strict=True):
            p = problem(
                Case(c1, c2, 1, 1, height, width, batch, activation=NONE), precision, precision is BF16
            )
            x = loaded(stored(rng.standard_normal(p.x.shape).astype(np.float32), precision))
            columns.append(convolution(p.case, x, p.filters, p.bias, p.slopes))
            maps.append(Map(stored(x, precision)))
            weights.append(packing.pack_direct(p.filters, precision))
            biases.append(packing.pack_bias(p.bias))
        mask = rng.random((batch, height, width, 1)) < share
        found.append(mask.reshape(batch, height * width))
        maps.append(Map(stored(mask.astype(np.float32), precision)))
        rows.append(np.concatenate(columns, axis=3).reshape(batch, height * width, 64 + nc))
    expected = np.concatenate(rows, axis=1)
    expected[~np.concatenate(found, axis=1)] = np.nan  # not touched
    result = poisoned(expected.shape, F32)
    kernels.head(maps, np.concatenate(weights), np.concatenate(biases), [64, nc] * len(sizes), result)
    # float32 in either precision: the logits are not rounded to bfloat16.
    np.testing.assert_allclose(result, expected, atol=2e-5)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(
    ("batch", "height", "width", "c1", "nc"),
    [
        (1, 20, 30, 80, 80),  # YOLOv8n's own, of several shares
        (3, 5, 7, 24, 1),  # a single class; half a block of input
        (2, 1, 1, 64, 17),  # one class more than a block
    ],
)
def test_candidates(
    kernels: Kernels, batch: int, height: int, width: int, c1: int, nc: int, precision: Precision
) -> None:
    p = problem(Case(c1, nc, 1, 1, height, width, batch, activation=NONE), precision, precision is BF16)
    best = p.exact.max(axis=3, keepdims=True)
    x, weight = Map(stored(p.x, precision)), packing.pack_direct(p.filters, precision)
    for threshold in (-np.inf, -100.0, float(np.median(best)), 100.0, np.inf):
        mask = poisoned(best.shape, precision)
        kernels.candidates(x, weight, packing.pack_bias(p.bias), nc, threshold, mask)
        clear = np.abs(best - threshold) > 1e-4  # the rest may fall on either side
        assert set(np.unique(loaded(mask))) <= {0, 1}
        np.testing.assert_array_equal(loaded(mask)[clear], (best > threshold)[clear])


@pytest.mark.parametrize("precision", Precision)
def test_a_logit_that_is_no_number_makes_a_candidate(kernels: Kernels, precision: Precision) -> None:
    p = problem(Case(16, 20, 1, 1, 1, 30, activation=NONE), precision, False)
    x = stored(p.x, precision)
    x[0, 0, 7] = stored(np.full(16, np.nan, np.float32), precision)
    weight, bias = packing.pack_direct(p.filters, precision), packing.pack_bias(p.bias)
    mask = poisoned((1, 1, 30, 1), precision)
    kernels.candidates(Map(x), weight, bias, 20, 100.0, mask)
    assert np.flatnonzero(loaded(mask)).tolist() == [7]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("channels", [16, 24, 5])
def test_candidates_and_head_touch_nothing_else(
    kernels: Kernels, channels: int, at_end: bool, precision: Precision
) -> None:
    alone = single(kernels)
    memory = Guarded(at_end=at_end)
    p = problem(Case(channels, 7, 1, 1, 4, 3, activation=NONE), precision, False)
    x = Map(memory.copy(stored(p.x, precision)))
    some = np.arange(12, dtype=np.float32).reshape(1, 4, 3, 1) % 3 > 0
    mask = Map(memory.copy(stored(some.astype(np.float32), precision)))
    found = [memory.copy(poisoned((1, 4, 3, 1), precision)) for _ in range(3)]
    weight = packing.pack_direct(p.filters, precision)
    weights, bias = (memory.copy(np.tile(w, 2)) for w in (weight, packing.pack_bias(p.bias)))
    logits = memory.copy(poisoned((1, 12, 14), F32))

    def run() -> None:
        for each, threshold in zip(found, (-np.inf, 0.0, np.inf), strict=True):
            alone.candidates(x, weights, bias, 7, threshold, each)
            assert np.isfinite(loaded(each)).all()
        alone.head([x, x, mask], weights, bias, [7, 7], logits)
        assert np.isfinite(logits[:, some.ravel()]).all()
        assert np.isnan(logits[:, ~some.ravel()]).all()
        assert memory.intact()

    assert survives(run), "candidates or head read or write outside of their tensors"


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64])
def test_any_number_of_tasks_gives_the_same(kernels: Kernels, workers: int) -> None:
    several = Kernels(kernels.path, workers)
    p = problem(Case(24, 20, 1, 1, 19, 31, 2, activation=NONE), F32, False)
    weight, bias = packing.pack_direct(p.filters, F32), packing.pack_bias(p.bias)
    mask, heads = [], []
    for each in (several, kernels):
        mask.append(poisoned((2, 19, 31, 1), F32))
        each.candidates(Map(p.x), weight, bias, 20, 1.5, mask[-1])
        heads.append(poisoned((2, 19 * 31, 40), F32))
        found = [Map(p.x), Map(p.x), Map(mask[-1])]
        each.head(found, np.tile(weight, 2), np.tile(bias, 2), [20, 20], heads[-1])
    for first, second in (mask, heads):
        np.testing.assert_array_equal(first, second)
