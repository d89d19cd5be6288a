"""Attention, called without a graph, against PyTorch in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import F32, poisoned, single
from kernel_library import Kernels, Map
from numpy.typing import NDArray

from yolo_max.kernels import products

torch = pytest.importorskip("torch")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """One call: sizes (height, width) of the queries' and the keys' map, channels of keys and values."""

    images: int
    heads: int
    queries: tuple[int, int]
    keys: tuple[int, int]
    d: int
    dv: int


CASES = [
    Attention(1, 2, (20, 20), (20, 20), 32, 64),  # YOLO11's C2PSA at 640 x 640
    Attention(2, 12, (1, 197), (1, 197), 64, 64),  # vit_b_16
    Attention(1, 1, (1, 1), (1, 1), 1, 1),
    Attention(3, 3, (3, 5), (7, 9), 20, 10),  # channels that fill no block; other keys than queries
    Attention(1, 1, (2, 8), (1, 257), 40, 33),  # a second block of a single key
    Attention(1, 2, (5, 5), (25, 41), 16, 100),  # five blocks of keys
    Attention(1, 1, (1, 40), (1, 30), 256, 300),  # the largest keys; several panels of values
]


def attend(
    kernels: Kernels,
    case: Attention,
    q: Map,
    k: Map,
    v: Map,
    steps: tuple[int, int, int],
    result: Array,
    scale: float | None = None,
) -> None:
    bits = products.float_bits(case.d**-0.5 if scale is None else scale)
    params = [case.heads, case.d, case.dv, *steps, bits]
    kernels.run(products.PRODUCTS, products.ATTENTION, params, [q, k, v], None, None, result)


def attention(q: Any, k: Any, v: Any, dtype: Any = torch.float64, scale: float | None = None) -> NDArray[Any]:
    """PyTorch's, of [images, pixels, heads, channels].

    A score's products are added one after the other, as in the kernel: in float32, a library's order is
    several times as exact on one processor as on another.
    """
    scale = q.shape[3] ** -0.5 if scale is None else scale
    q, k, v = (torch.from_numpy(each).to(dtype).transpose(1, 2) for each in (q, k, v))
    scores = q.new_zeros(*q.shape[:3], k.shape[2])
    for channel in range(q.shape[3]):
        scores += q[..., channel, None] * k[..., None, :, channel]
    weights = torch.softmax(scores * scale, -1)
    result: NDArray[Any] = (weights @ v).transpose(1, 2).numpy()
    return result


def rows(
    rng: np.random.Generator, case: Attention, size: tuple[int, int], channels: int, spread: float
) -> Array:
    shape = (case.images, size[0] * size[1], case.heads, channels)
    return (rng.standard_normal(shape) * spread).astype(np.float32)


def a_map(values: Array, size: tuple[int, int]) -> Map:
    return Map(np.ascontiguousarray(values.reshape(len(values), *size, -1)))


@pytest.mark.parametrize("spread", [1, 8], ids=["even", "peaked"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_attention(kernels: Kernels, case: Attention, spread: float) -> None:
    rng = np.random.default_rng(case.d)
    q, k = rows(rng, case, case.queries, case.d, spread), rows(rng, case, case.keys, case.d, spread)
    v = rows(rng, case, case.keys, case.dv, 1)
    result = poisoned((case.images, *case.queries, case.heads * case.dv), F32)
    maps = a_map(q, case.queries), a_map(k, case.keys), a_map(v, case.keys)
    attend(kernels, case, *maps, (case.d, case.d, case.dv), result)
    assert np.isfinite(result).all()
    exact, theirs = (
        attention(q, k, v, dtype).reshape(result.shape) for dtype in (torch.float64, torch.float32)
    )
    assert np.abs(result - exact).max() <= 3 * np.abs(theirs - exact).max() + 2.0**-20


SIZE = st.tuples(st.integers(1, 6), st.integers(1, 60))


@settings(max_examples=40)
@given(
    case=st.builds(
        Attention, st.integers(1, 2), st.integers(1, 3), SIZE, SIZE, st.integers(1, 80), st.integers(1, 80)
    )
)
def test_any_size(kernels: Kernels, case: Attention) -> None:
    test_attention(kernels, case, spread=1)


@pytest.mark.parametrize("together", ["by heads", "by kinds"])
def test_heads_are_read_where_they_are(kernels: Kernels, together: str) -> None:
    """C2PSA's map has the queries, keys and values of a head side by side; a ViT's has those of all heads."""
    case = Attention(2, 3, (4, 5), (4, 5), 16, 24)
    rng = np.random.default_rng(1)
    q, k = (rows(rng, case, case.queries, 16, 1) for _ in range(2))
    v = rows(rng, case, case.keys, 24, 1)
    if together == "by heads":
        one = np.concatenate([q, k, v], axis=3)
        starts, steps = (0, 16, 32), (56, 56, 56)
    else:
        one = np.concatenate([each.reshape(2, 20, -1) for each in (q, k, v)], axis=2)
        starts, steps = (0, 48, 96), (16, 16, 24)
    tensor = np.ascontiguousarray(one.reshape(2, 4, 5, 168))
    ends = [2 * step + size for step, size in zip(steps, (16, 16, 24), strict=True)]
    q_map, k_map, v_map = (Map(tensor, start, end) for start, end in zip(starts, ends, strict=True))
    result = poisoned((2, 4, 5, 72), F32)
    attend(kernels, case, q_map, k_map, v_map, steps, result)
    error = np.abs(result - attention(q, k, v).reshape(result.shape))
    assert error.max() <= 2.0**-24 * 24


@pytest.mark.parametrize("scale", [10**-0.5, -0.7, 0.0, 3.0], ids=str)
def test_differences_of_large_scores_are_exact(kernels: Kernels, scale: float) -> None:
    """Here scores are whole numbers around a million, where their scaled float32 would lie 1/32 apart."""
    case = Attention(1, 2, (1, 20), (1, 300), 10, 5)
    rng = np.random.default_rng(2)
    q, k = (rng.integers(-2, 3, (1, pixels, 2, 10)).astype(np.float32) for pixels in (20, 300))
    q[..., 0], k[..., 0] = 1000, 1000
    v = rows(rng, case, case.keys, 5, 1)
    result = poisoned((1, 1, 20, 10), F32)
    maps = a_map(q, case.queries), a_map(k, case.keys), a_map(v, case.keys)
    attend(kernels, case, *maps, (10, 10, 5), result, scale)
    exact = attention(q, k, v, scale=float(np.float32(scale))).reshape(result.shape)
    np.testing.assert_allclose(result, exact, rtol=0, atol=2.0**-19)


def test_a_nan_reaches_its_queries_and_no_others(kernels: Kernels) -> None:
    case = Attention(1, 1, (1, 30), (1, 300), 8, 8)
    rng = np.random.default_rng(0)
    q, k = rows(rng, case, case.queries, 8, 1), rows(rng, case, case.keys, 8, 1)
    v = rows(rng, case, case.keys, 8, 1)
    q[0, 3] = np.nan
    result = np.zeros((1, 1, 30, 8), np.float32)
    attend(kernels, case, a_map(q, case.queries), a_map(k, case.keys), a_map(v, case.keys), (8, 8, 8), result)
    np.testing.assert_array_equal(np.isnan(result[0, 0]).all(axis=1), np.arange(30) == 3)
    assert np.isnan(result).sum() == 8
    k[0, 290] = np.nan  # in the second block of keys
    attend(kernels, case, a_map(q, case.queries), a_map(k, case.keys), a_map(v, case.keys), (8, 8, 8), result)
    assert np.isnan(result).all()


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_any_number_of_threads_gives_the_same(kernels: Kernels, workers: int) -> None:
    size = (17, 19)  # large enough for nine threads
    case = Attention(1, 2, size, size, 20, 30)
    rng = np.random.default_rng(0)
    q, k, v = (a_map(rows(rng, case, size, c, 1), size) for c in (20, 20, 30))
    results = [poisoned((1, *size, 60), F32) for _ in range(2)]
    for each, result in zip((kernels, Kernels(kernels.path, workers)), results, strict=True):
        attend(each, case, q, k, v, (20, 20, 30), result)
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
def test_nothing_is_touched_outside_of_the_maps(kernels: Kernels, at_end: bool) -> None:
    case = Attention(1, 2, (3, 7), (5, 7), 5, 19)
    memory = Guarded(at_end=at_end)
    q, k, v, result = (
        memory.copy(np.full((1, *size, channels), fill, np.float32))
        for size, channels, fill in (((3, 7), 10, 1), ((5, 7), 10, 1), ((5, 7), 38, 1), ((3, 7), 38, np.nan))
    )

    def run() -> None:
        attend(single(kernels), case, Map(q), Map(k), Map(v), (5, 5, 19), result)
        np.testing.assert_allclose(result, 1, rtol=1e-6)
        assert memory.intact()

    assert survives(run)


@pytest.mark.parametrize(
    ("channels", "case", "message"),
    [
        (
            (19, 20, 30),
            Attention(1, 2, (2, 2), (2, 2), 10, 15),
            "2 heads of 10 channels, 10 apart, do not fit 19",
        ),
        (
            (20, 20, 31),
            Attention(1, 2, (2, 2), (2, 2), 10, 14),
            "the result has 30 channels where 28 are needed",
        ),
        ((300, 300, 30), Attention(1, 1, (2, 2), (2, 2), 300, 30), "a key has at most 256 channels, not 300"),
    ],
)
def test_heads_that_do_not_fit_are_refused(
    kernels: Kernels, channels: tuple[int, int, int], case: Attention, message: str
) -> None:
    q, k, v = (Map(np.zeros((1, 2, 2, each), np.float32)) for each in channels)
    with pytest.raises(ValueError, match=message):
        attend(kernels, case, q, k, v, (case.d, case.d, case.dv), np.zeros((1, 2, 2, 30), np.float32))
