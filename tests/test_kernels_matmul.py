"""Batched products and softmax, called without a graph, against float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import F32, SILU, poisoned, single
from kernel_library import Kernels, Map
from numpy.typing import NDArray

from yolo_max.kernels import packing, products
from yolo_max.kernels.activation import Activation

Array = NDArray[np.float32]


def turned(x: Array, transposed: bool) -> Array:
    return x.swapaxes(-1, -2) if transposed else x


def multiply(
    kernels: Kernels,
    a: Map,
    b: Map,
    result: Array,
    transposed: tuple[bool, bool] = (False, False),
    alpha: float = 1,
    bias: Array | None = None,
) -> None:
    params = [*transposed, products.float_bits(alpha), bias is not None]
    kernels.run(products.PRODUCTS, products.MATMUL, params, [a, b], None, bias, result)


def check(got: Array, exact: NDArray[np.float64], terms: int, scale: float = 1) -> None:
    """Fails unless sums of ``terms`` products of unit size are as exact as float32 allows."""
    assert np.isfinite(got).all(), "an output was not written, or something unwritten was read"
    # As in kernel_cases.check: rounding errors of a sum add up like a random walk.
    assert np.abs(got - exact).max(initial=0) <= scale * 2.0**-24 * 6 * (terms + 4)
    assert np.sqrt(np.mean((got - exact) ** 2)) <= scale * 2.0**-24 * (terms + 4)


def product_case(
    kernels: Kernels,
    size: tuple[int, int, int],
    batches: tuple[tuple[int, int], tuple[int, int]],
    transposed: tuple[bool, bool],
    alpha: float,
    with_bias: bool,
) -> None:
    m, k, n = size
    rng = np.random.default_rng(m * 1000 + k * 10 + n)
    a = rng.standard_normal((*batches[0], *((k, m) if transposed[0] else (m, k)))).astype(np.float32)
    b = rng.standard_normal((*batches[1], *((n, k) if transposed[1] else (k, n)))).astype(np.float32)
    bias = rng.standard_normal(n).astype(np.float32) if with_bias else None
    exact = alpha * (
        turned(a, transposed[0]).astype(np.float64) @ turned(b, transposed[1]).astype(np.float64)
    )
    exact = exact if bias is None else exact + bias
    result = poisoned(exact.shape, F32)
    multiply(kernels, Map(a), Map(b), result, transposed, alpha, bias)
    check(result, exact, k)


SIZES = [
    # m, k, n
    (1, 1, 1),
    (1, 512, 1000),  # a vector by a matrix: whole strips, whole blocks, a part of one
    (2, 512, 10),
    (3, 70, 300),  # rows that fill no strip's tile
    (8, 257, 33),  # the most rows that are multiplied in place
    (9, 16, 16),  # the fewest that are packed
    (14, 256, 32),  # one whole tile, one whole panel
    (15, 255, 31),  # a row more, a column less
    (100, 513, 70),  # three parts of the depth, the last of one column
    (512, 32, 16),  # a single block, which is read in place
    (25, 600, 32),  # a panel read in place: tiles of rows and a row more, three parts of the depth
    (25, 600, 31),  # one that is packed
    (5, 40, 1),  # a column
    (30, 40, 1),
]
FLAT = ((1, 1), (1, 1))


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_products(kernels: Kernels, size: tuple[int, int, int], transposed: tuple[bool, bool]) -> None:
    product_case(kernels, size, FLAT, transposed, 1, False)


@pytest.mark.parametrize("transposed", [(False, False), (True, True)])
@pytest.mark.parametrize("size", [(1, 20, 40), (20, 30, 40)], ids=str)
@pytest.mark.parametrize(
    "batches",
    [
        ((2, 3), (2, 3)),
        ((1, 5), (1, 5)),  # fewer items than threads need, an odd number
        ((2, 1), (1, 3)),  # each repeated along the other's dimension
        ((1, 1), (2, 3)),
        ((2, 3), (1, 1)),  # one second matrix: the batch is more rows
        ((3, 2), (3, 1)),
    ],
    ids=str,
)
def test_batches(
    kernels: Kernels,
    batches: tuple[tuple[int, int], tuple[int, int]],
    size: tuple[int, int, int],
    transposed: tuple[bool, bool],
) -> None:
    product_case(kernels, size, batches, transposed, 0.3, True)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 70)] * 3),
    batch=st.tuples(*[st.integers(1, 3)] * 2),
    repeated=st.tuples(*[st.booleans()] * 4),
    transposed=st.tuples(st.booleans(), st.booleans()),
    alpha=st.sampled_from([1, -0.5]),
    bias=st.booleans(),
)
def test_any_geometry(
    kernels: Kernels,
    size: tuple[int, int, int],
    batch: tuple[int, int],
    repeated: tuple[bool, bool, bool, bool],
    transposed: tuple[bool, bool],
    alpha: float,
    bias: bool,
) -> None:
    ones = [1 if once else dim for once, dim in zip(repeated, batch * 2, strict=True)]
    # The result's batch is the larger of both.
    product_case(kernels, size, ((ones[0], ones[1]), (ones[2], ones[3])), transposed, alpha, bias)


@pytest.mark.parametrize("size", [(1, 40, 70), (20, 40, 70)], ids=str)
def test_operands_may_be_columns_of_wider_rows(kernels: Kernels, size: tuple[int, int, int]) -> None:
    m, k, n = size
    rng = np.random.default_rng(0)
    # What is not taken must not be read: it is NaN.
    a, b = (np.full((1, 2, rows, 100), np.nan, np.float32) for rows in (m, k))
    a[..., 7 : 7 + k] = rng.standard_normal((1, 2, m, k))
    b[..., 5 : 5 + n] = rng.standard_normal((1, 2, k, n))
    result = poisoned((1, 2, m, n), F32)
    multiply(kernels, Map(a, 7, k), Map(b, 5, n), result)
    exact = a[..., 7 : 7 + k].astype(np.float64) @ b[..., 5 : 5 + n].astype(np.float64)
    check(result, exact, k)


def test_no_inner_dimension_leaves_the_bias(kernels: Kernels) -> None:
    for m in (1, 20):
        # A slice has a channel at least; rows of no numbers are columns of a transposed matrix of no rows.
        a, b = np.zeros((1, 1, 0, m), np.float32), np.zeros((1, 1, 0, 40), np.float32)
        result, bias = poisoned((1, 1, m, 40), F32), np.arange(40, dtype=np.float32)
        multiply(kernels, Map(a), Map(b), result, (True, False), bias=bias)
        np.testing.assert_array_equal(result[0, 0], np.broadcast_to(bias, (m, 40)))


@pytest.mark.parametrize(
    ("a", "b", "result", "message"),
    [
        ((1, 1, 4, 5), (1, 1, 6, 7), (1, 1, 4, 7), "rows of 5 numbers cannot be multiplied by columns of 6"),
        ((1, 1, 4, 5), (1, 1, 5, 7), (1, 1, 4, 8), "the product is 4 x 8 where 4 x 7 is needed"),
        ((2, 1, 4, 5), (3, 1, 5, 7), (3, 1, 4, 7), "a batch of 2 x 1 matrices cannot be repeated to 3 x 1"),
    ],
)
def test_operands_that_do_not_fit_are_refused(
    kernels: Kernels, a: tuple[int, ...], b: tuple[int, ...], result: tuple[int, ...], message: str
) -> None:
    first, second = (Map(np.zeros(shape, np.float32)) for shape in (a, b))
    with pytest.raises(ValueError, match=message):
        multiply(kernels, first, second, np.zeros(result, np.float32))


@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize("transposed", [(False, False), (True, True)])
@pytest.mark.parametrize(
    "size",
    [(1, 5, 37), (3, 20, 300), (20, 19, 37), (9, 5, 16), (25, 19, 32), (25, 19, 21)],
    ids=str,
)
def test_nothing_is_touched_outside_of_the_matrices(
    kernels: Kernels, size: tuple[int, int, int], transposed: tuple[bool, bool], at_end: bool
) -> None:
    m, k, n = size
    memory = Guarded(at_end=at_end)
    a, b, result = (
        memory.copy(np.full((1, 1, *shape), fill, np.float32))
        for shape, fill in (
            ((k, m) if transposed[0] else (m, k), 1),
            ((n, k) if transposed[1] else (k, n), 1),
            ((m, n), np.nan),
        )
    )
    bias = memory.copy(np.ones(n, np.float32))

    def run() -> None:
        multiply(single(kernels), Map(a), Map(b), result, transposed, 1, bias)
        np.testing.assert_array_equal(result, k + 1)
        assert memory.intact()

    assert survives(run)


@pytest.mark.parametrize("workers", [1, 3, 7])
@pytest.mark.parametrize("batches", [FLAT, ((1, 5), (1, 5))], ids=str)
def test_any_number_of_threads_gives_the_same(kernels: Kernels, workers: int, batches: Any) -> None:
    rng = np.random.default_rng(0)
    for m, k, n in [(2, 700, 1500), (300, 300, 100), (900, 700, 20)]:  # large enough for several threads
        a = Map(rng.standard_normal((*batches[0], m, k)).astype(np.float32))
        b = Map(rng.standard_normal((*batches[1], k, n)).astype(np.float32))
        results = [poisoned((*batches[0], m, n), F32) for _ in range(2)]
        for each, result in zip((kernels, Kernels(kernels.path, workers)), results, strict=True):
            multiply(each, a, b, result)
        np.testing.assert_array_equal(results[0], results[1])


LINEARS = [
    # rows, c1, c2
    (1, 1, 1),
    (2, 512, 1000),
    (30, 40, 24),
    (197, 100, 300),  # channels that fill no block
    (15, 600, 33),  # three parts of the depth
]


@pytest.mark.parametrize("activation", [Activation.NONE, SILU])
@pytest.mark.parametrize(("rows", "c1", "c2"), LINEARS)
def test_linear(kernels: Kernels, rows: int, c1: int, c2: int, activation: Activation) -> None:
    rng = np.random.default_rng(c1)
    x, weight, bias, added = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((1, 1, rows, c1 + 3), (c1, c2), (c2,), (1, 1, rows, c2 + 2))
    )
    result = poisoned((1, 1, rows, c2), F32)
    kernels.run(
        products.PRODUCTS,
        products.LINEAR,
        [activation, 1],
        [Map(x, 2, c1), Map(added, 1, c2)],
        packing.pack_direct(weight[None, None], F32),
        packing.pack_bias(bias),
        result,
    )
    exact = x[..., 2 : 2 + c1].astype(np.float64) @ weight.astype(np.float64) + bias
    if activation is SILU:
        exact = exact / (1 + np.exp(-exact))
    check(result, exact + added[..., 1 : 1 + c2], c1)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 40),
    c1=st.integers(1, 600),
    c2=st.integers(1, 100),
    activation=st.sampled_from([Activation.NONE, SILU]),
)
def test_any_linear_layer(kernels: Kernels, rows: int, c1: int, c2: int, activation: Activation) -> None:
    test_linear(kernels, rows, c1, c2, activation)


@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize(("rows", "c1", "c2"), [(1, 5, 37), (3, 300, 20), (20, 19, 32)])
def test_a_linear_layer_touches_nothing_else(
    kernels: Kernels, rows: int, c1: int, c2: int, at_end: bool
) -> None:
    memory = Guarded(at_end=at_end)
    x, added, result = (
        memory.copy(np.full((1, 1, rows, channels), fill, np.float32))
        for channels, fill in ((c1, 1), (c2, 2), (c2, np.nan))
    )
    weight = memory.copy(packing.pack_direct(np.ones((1, 1, c1, c2), np.float32), F32))
    bias = memory.copy(packing.pack_bias(np.ones(c2, np.float32)))

    def run() -> None:
        params = [Activation.NONE, 1]
        table, kernel = products.PRODUCTS, products.LINEAR
        single(kernels).run(table, kernel, params, [Map(x), Map(added)], weight, bias, result)
        np.testing.assert_array_equal(result, c1 + 3)
        assert memory.intact()

    assert survives(run)


@pytest.mark.parametrize("rows", [1, 3, 30])
@pytest.mark.parametrize("operation", ["matmul", "linear"])
def test_a_bias_is_added_to_the_whole_sum(kernels: Kernels, operation: str, rows: int) -> None:
    """So the result is rounded to the size of a large bias once, and not with every term."""
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((1, 1, rows, 200)).astype(np.float32)
    weight = rng.standard_normal((200, 40)).astype(np.float32) / np.float32(np.sqrt(200))
    bias = np.full(40, 1000, np.float32)
    result = poisoned((1, 1, rows, 40), F32)
    if operation == "matmul":
        multiply(kernels, Map(x), Map(weight[None, None]), result, bias=bias)
    else:
        packed = packing.pack_direct(weight[None, None], F32)
        maps, padded = [Map(x)], packing.pack_bias(bias)
        kernels.run(products.PRODUCTS, products.LINEAR, [Activation.NONE, 0], maps, packed, padded, result)
    half_a_unit = 2.0**-15
    assert np.abs(result - (x.astype(np.float64) @ weight + 1000)).max() <= half_a_unit + 1e-5


ROWS = np.array(
    [
        [0, 0, 0, 0, 0],
        [1e4, 0, -1e4, 3e38, 1],  # far apart
        [-np.inf, 0, 1, -np.inf, 2],  # masked
        [-1e30, -2e30, -3e30, -1e30, -1e30],  # all very small
        [88, 89, 90, 91, 92],  # exp of these alone leaves float32's range
    ],
    np.float32,
)


@pytest.mark.parametrize("channels", [1, 5, 16, 33, 1000])
def test_softmax(kernels: Kernels, channels: int) -> None:
    rng = np.random.default_rng(channels)
    x = np.full((1, 3, 40, channels + 2), np.nan, np.float32)
    x[..., 1:-1] = rng.standard_normal((1, 3, 40, channels)) * 10
    for i, row in enumerate(ROWS):
        x[0, 0, i, 1:-1] = np.resize(row, channels) if channels > 1 else 0
    result = poisoned((1, 3, 40, channels), F32)
    kernels.run(products.PRODUCTS, products.SOFTMAX, [], [Map(x, 1, channels)], None, None, result)
    wide = x[..., 1:-1].astype(np.float64)
    below = wide - wide.max(-1, keepdims=True)
    exact = np.exp(below) / np.exp(below).sum(-1, keepdims=True)
    # The difference is rounded to float32, and its error is a factor of exp.
    assert (np.abs(result - exact) <= 2.0**-24 * (8 + np.minimum(-below, 100)) * exact + 1e-36).all()


@settings(max_examples=30)
@given(channels=st.integers(1, 200))
def test_softmax_of_any_size(kernels: Kernels, channels: int) -> None:
    test_softmax(kernels, channels)


@pytest.mark.parametrize(("low", "high"), [(-80, -40), (-40, -8), (-8, -1), (-1, 0)])
def test_softmax_errs_to_neither_side(kernels: Kernels, low: float, high: float) -> None:
    x = np.zeros((1, 1, 100_000, 2), np.float32)  # so that differences are exact
    x[..., 0] = np.random.default_rng(0).uniform(low, high, x.shape[:3])
    result = poisoned(x.shape, F32)
    kernels.run(products.PRODUCTS, products.SOFTMAX, [], [Map(x)], None, None, result)
    exact = 1 / (1 + np.exp(-x[..., 0].astype(np.float64)))
    assert abs(np.mean((result[..., 0] - exact) / np.spacing(exact.astype(np.float32)))) <= 0.2


@pytest.mark.parametrize(
    "row",
    [
        [1, np.nan, 2],
        [np.inf, 1, 2],
        [-np.inf, -np.inf, -np.inf],
    ],
)
def test_softmax_of_what_has_none_is_nan_as_in_pytorch(kernels: Kernels, row: list[float]) -> None:
    torch = pytest.importorskip("torch")
    x = np.array(row, np.float32).reshape(1, 1, 1, 3)
    result = np.zeros_like(x)
    kernels.run(products.PRODUCTS, products.SOFTMAX, [], [Map(x)], None, None, result)
    np.testing.assert_array_equal(result, torch.softmax(torch.from_numpy(x), -1).numpy())


@pytest.mark.parametrize("at_end", [True, False])
def test_softmax_touches_nothing_else(kernels: Kernels, at_end: bool) -> None:
    memory = Guarded(at_end=at_end)
    x, result = (memory.copy(np.full((1, 1, 7, 21), fill, np.float32)) for fill in (1, np.nan))

    def run() -> None:
        single(kernels).run(products.PRODUCTS, products.SOFTMAX, [], [Map(x)], None, None, result)
        np.testing.assert_allclose(result, 1 / 21, rtol=1e-6)
        assert memory.intact()

    assert survives(partial(run))
