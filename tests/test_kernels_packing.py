from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from toom_cook import ALGORITHMS, Algorithm

from yolo_max.kernels import packing
from yolo_max.kernels.conv_kernel import DEPTHWISE, DIRECT, KERNELS, ConvKernel, pack_weights
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window

rng = np.random.default_rng(7)


def filters(k: int, c1: int, c2: int) -> NDArray[np.float32]:
    return rng.standard_normal((k, k, c1, c2)).astype(np.float32)


def as_float(halves: NDArray[Any]) -> NDArray[np.float32]:
    return (halves.astype(np.uint32) << 16).view(np.float32)


def unpacked(words: NDArray[Any], matrices: int, rows: int, c2: int, paired: bool) -> NDArray[np.float32]:
    """What the kernels read: ``[m, row, output channel]``, gone through word by word."""
    step = 2 if paired else 1
    out = np.zeros((matrices, rows, packing.padded(c2)), np.float32)
    position = 0
    for first in range(0, packing.padded(c2), 32):
        width = min(32, packing.padded(c2) - first)
        for m, row, column in itertools.product(range(matrices), range(0, rows, step), range(width)):
            word = words[position]
            position += 1
            if paired:
                out[m, row, first + column] = as_float(np.array(word & 0xFFFF))
                out[m, row + 1, first + column] = as_float(np.array(word >> 16))
            else:
                out[m, row, first + column] = word
    assert position == words.size
    return out


SHAPES = [
    (1, 16, 16),  # one block, one panel of half the width
    (1, 32, 64),  # two whole panels
    (3, 24, 80),  # channels to fill up on one side, a narrow last panel
    (3, 8, 6),  # fewer channels than a block
    (5, 1, 1),  # as few as there can be
    (1, 40, 100),  # both sides filled up
]


def representable(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest values that bfloat16 can hold, which packing leaves alone."""
    return as_float(packing.to_bf16(values))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("k", "c1", "c2"), SHAPES)
def test_direct_rows_are_kernel_row_block_kernel_column_channel(
    k: int, c1: int, c2: int, precision: Precision
) -> None:
    paired = precision is Precision.BF16
    f = representable(filters(k, c1, c2)) if paired else filters(k, c1, c2)
    blocks = packing.padded(c1) // 16
    got = unpacked(packing.pack_direct(f, precision), 1, k * k * blocks * 16, c2, paired)[0]
    for row, (ky, block, kx, lane) in enumerate(
        itertools.product(range(k), range(blocks), range(k), range(16))
    ):
        channel = block * 16 + lane
        weights = f[ky, kx, channel] if channel < c1 else np.zeros(c2)
        np.testing.assert_array_equal(got[row, :c2], weights)
    assert not got[:, c2:].any()


@pytest.mark.parametrize("c2", [16, 48, 20])
@pytest.mark.parametrize("precision", Precision)
def test_stem_rows_are_the_numbers_under_a_kernel_row(c2: int, precision: Precision) -> None:
    paired = precision is Precision.BF16
    f = representable(filters(3, 3, c2)) if paired else filters(3, 3, c2)
    run = 10 if paired else 9
    got = unpacked(packing.pack_stem(f, precision), 1, 3 * run, c2, paired)[0].reshape(3, run, -1)
    np.testing.assert_array_equal(got[:, :9, :c2], f.reshape(3, 9, c2))
    assert not got[:, 9:].any()
    assert not got[:, :, c2:].any()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_matrices_give_every_tap_of_every_sample(algorithm: Algorithm) -> None:
    given = np.einsum("ip,pk,pn->ikn", algorithm.output, algorithm.filter, algorithm.input)
    expected = np.zeros_like(given)
    for output, tap in itertools.product(range(4), range(3)):
        expected[output, tap, output * algorithm.stride + tap] = 1
    np.testing.assert_allclose(given, expected, atol=1e-14)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_float32_holds_what_tiles_are_transformed_with(algorithm: Algorithm) -> None:
    """Or else there would be an error that is the same for all tiles, and adds up."""
    for matrix in (algorithm.input, algorithm.output):
        np.testing.assert_array_equal(matrix, matrix.astype(np.float32))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_filters_are_transformed_by_toom_cook(algorithm: Algorithm) -> None:
    own = algorithm.matrix[list(algorithm.filter_of)]
    np.testing.assert_allclose(own * algorithm.scales[:, None], algorithm.filter, atol=1e-15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("c1", "c2"), [(16, 16), (24, 80), (3, 5)])
def test_transformed_filters_are_packed_point_by_point(algorithm: Algorithm, c1: int, c2: int) -> None:
    f = filters(3, c1, c2)
    packed = unpacked(packing.pack_tiles(f, algorithm.matrix), 36, packing.padded(c1), c2, False)
    matrix = algorithm.matrix
    for (p, row), (q, column) in itertools.product(enumerate(matrix), enumerate(matrix)):
        expected = np.einsum("r,s,rscd->cd", row, column, f.astype(np.float64))
        # Rounded once: half a unit in the last place, and float64's own error where terms cancel.
        np.testing.assert_allclose(packed[6 * p + q, :c1, :c2], expected, rtol=2.0**-24, atol=1e-15)
    assert not packed[:, c1:].any()
    assert not packed[:, :, c2:].any()


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize(("c1", "c2"), [(3, 16), (16, 16), (24, 40), (1, 1), (128, 80)])
def test_sizes_and_types_are_known_without_packing(
    c1: int, c2: int, kernel: ConvKernel, precision: Precision
) -> None:
    groups = c2 if kernel is DEPTHWISE else 1
    for k in (1, 3, 5) if kernel is DIRECT else (3,):
        packed = kernel.pack(filters(k, 1 if kernel is DEPTHWISE else c1, c2), precision)
        assert packed.shape == (kernel.packed_size(c1, c2, Window.of(k, groups=groups), precision),)
        assert packed.dtype == kernel.weight_dtype(precision)
        assert packed.ctypes.data % 64 == 0


def test_biases_are_padded_with_zeros() -> None:
    packed = packing.pack_bias(np.arange(1, 21, dtype=np.float32))
    assert packed.ctypes.data % 64 == 0
    np.testing.assert_array_equal(packed, [*range(1, 21), *[0] * 12])


def test_weights_are_copied_into_one_block_of_memory() -> None:
    arrays = {
        "a": np.arange(7, dtype=np.float32),  # not a whole line of the cache
        "b": np.arange(40, dtype=np.uint32),
        "c": np.zeros(0, np.float32),
        "d": np.ones((2, 3), np.float32),
    }
    placed = packing.in_one_place(arrays)
    for name, values in arrays.items():
        assert placed[name].dtype == values.dtype
        np.testing.assert_array_equal(placed[name], values)
        assert placed[name].ctypes.data % packing.ALIGNMENT == 0
    assert [placed[name].ctypes.data - placed["a"].ctypes.data for name in "bd"] == [64, 64 + 192]


def test_one_place_takes_no_more_memory_than_it_has() -> None:
    tracemalloc.start()
    placed = packing.one_place({"a": (np.float32, (1 << 18,)), "b": (np.uint16, (3, 5))})
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert placed["b"].shape == (3, 5)
    assert size <= peak < (4 << 18) + (1 << 14)


def test_a_network_is_packed_under_its_own_names() -> None:
    tensors = {
        "model.0.conv.weight": filters(3, 3, 16),
        "model.0.conv.bias": np.ones(16, np.float32),
        "model.1.conv.weight": filters(1, 16, 8),
        "model.1.conv.bias": np.ones(8, np.float32),
    }
    packed = pack_weights(tensors, {"model.1.conv": DIRECT}, Precision.F32)
    assert packed.keys() == tensors.keys()
    assert packed["model.0.conv.weight"] is tensors["model.0.conv.weight"], "left to MAX's own operations"
    np.testing.assert_array_equal(
        packed["model.1.conv.weight"], packing.pack_direct(tensors["model.1.conv.weight"], Precision.F32)
    )
    assert packed["model.1.conv.bias"].shape == (16,)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.5, 0xC020),
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.00390625, 0x3F80),  # half way between two: to the even one, below
        (1.01171875, 0x3F82),  # half way again: the even one is above
        (1.0039064, 0x3F81),  # just above half way
        (3.38e38, 0x7F7E),  # near the largest
        (1e-40, 0x0001),  # too small for the exponent, kept
    ],
)
def test_bfloat16_is_the_nearest(value: float, bits: int) -> None:
    assert packing.to_bf16(np.array([value], np.float32))[0] == bits


def test_bfloat16_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    values = (rng.standard_normal(100_000) * 10.0 ** rng.integers(-30, 30, 100_000)).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(packing.to_bf16(values), expected)


@pytest.mark.parametrize("inputs", [1, 2, 27, 2304])
def test_rounded_filters_keep_their_sums(inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    rows = (rng.standard_normal((inputs, 40)) * rng.exponential(size=(inputs, 1)) + 0.01).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = 0
    got = as_float(packing.round_filters(rows))
    nearest = as_float(packing.to_bf16(rows))
    assert not got[rows == 0].any()
    largest, smallest = np.abs(rows).max(0), np.where(rows == 0, np.inf, np.abs(rows)).min(0)
    # A weight takes what a larger one has lost, half a unit of eight bits, and is rounded itself.
    assert (np.abs(got - rows) <= largest * 2.0**-7).all()
    off = np.abs(got.astype(np.float64).sum(0) - rows.astype(np.float64).sum(0))
    kept = np.isfinite(smallest)
    assert (off[kept] <= smallest[kept] * 2.0**-7 + largest[kept] * (2.0**-15 + inputs * 2.0**-24)).all()
    if inputs > 20:
        assert off.mean() < 0.2 * np.abs((nearest - rows).astype(np.float64).sum(0)).mean()


def test_what_bfloat16_can_hold_stays_as_it_is() -> None:
    rows = as_float(packing.to_bf16(np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)))
    np.testing.assert_array_equal(as_float(packing.round_filters(rows)), rows)
