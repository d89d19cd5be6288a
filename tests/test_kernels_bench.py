"""The bench of kernels: both sides compute the same. The page about kernels is current."""

from __future__ import annotations

import re
from typing import Any

import bench_kernel
import kernel_tables
import numpy as np
import pytest
from bench_operations import Operation
from bench_products import OPERATIONS
from kernel_library import Kernels, loaded

torch = pytest.importorskip("torch")

LINES = [
    # an operation, multiplications and additions of it
    ("conv2d 16,32,3,1 --size 8x6 --activation silu", 2 * 8 * 6 * 16 * 32 * 9),
    ("conv2d 16,32,6,2 --size 16x8 --padding 3 --batch 2", 2 * 2 * 9 * 5 * 16 * 32 * 36),
    ("conv2d 16,16,1x7,1 --size 5 --padding 0x3", 2 * 25 * 16 * 16 * 7),
    ("conv2d 24,24,5,2 --size 9 --groups 24 --activation hard_swish", 2 * 25 * 24 * 25),
    ("conv2d 16,32,3,1 --size 8 --precision bf16", 2 * 64 * 16 * 32 * 9),
    ("conv2d 16,16,3,1 --size 8 --kernel direct --activation leaky_relu", 2 * 64 * 16 * 16 * 9),
    ("conv-transpose 16,8,4,2 --size 5 --padding 1", 2 * 25 * 16 * 8 * 16),
    ("conv-transpose 16,8,3,2 --size 5 --padding 1", 2 * 25 * 16 * 8 * 9),  # PyTorch's output_padding
    ("max-pool 16,3,2 --size 9 --padding 1", 25 * 16 * 9),
    ("average-pool 16,3,2 --size 9 --padding 1", 25 * 16 * 9),
    ("resize 16 --size 5 --to 9x7", 9 * 7 * 16 * 6),
    ("resize 16 --size 5 --to 9x7 --mode nearest_exact", 0),
    ("matmul 3,5,20 3,20,7", 2 * 3 * 5 * 20 * 7),
    ("matmul 1,20,5 3,7,20 --transpose-a --transpose-b", 2 * 3 * 5 * 20 * 7),
    ("linear 5,20,40", 2 * 5 * 20 * 40),
    ("softmax 5,40", 11 * 5 * 40),
    ("attention 2,9,8,16", 2 * 2 * 81 * 24),
]


def operation(line: str) -> Operation:
    options = bench_kernel.command_line().parse_args(line.split())
    return OPERATIONS[options.operation](next(bench_kernel.variants(options)))


@pytest.mark.parametrize(("line", "flops"), LINES)
def test_both_sides_compute_the_same(kernels: Kernels, line: str, flops: float) -> None:
    case = operation(line)
    assert case.flops == flops
    case.ours(kernels)()
    exact = next(case.theirs(torch.float64))().numpy().reshape(case.result.shape)
    for call in case.theirs(torch.float32):
        np.testing.assert_allclose(call().numpy().reshape(case.result.shape), exact, rtol=0, atol=1e-4)
    bound: Any = 1e-4 if case.result.dtype == np.float32 else 0.1
    np.testing.assert_allclose(loaded(case.result), exact, rtol=0, atol=bound)
    assert case.bytes() >= case.result.nbytes


def test_every_operation_is_tried_here() -> None:
    assert {line.split()[0] for line, _ in LINES} == set(OPERATIONS)


def test_a_prepared_call_gives_the_same_again(kernels: Kernels) -> None:
    case = operation("matmul 3,5,20 3,20,7")
    call = case.ours(kernels)
    call()
    first = case.result.copy()
    case.result[...] = np.nan
    call()
    np.testing.assert_array_equal(case.result, first)


def test_sides_take_turns_in_processes_of_their_own(kernels: Kernels) -> None:
    bench = bench_kernel.Bench([kernels.path], threads=1, rounds=2)
    try:
        [measured] = bench.measure(bench_kernel.command_line().parse_args(["matmul", "1,5,20", "1,20,7"]))
    finally:
        bench.close()
    assert len(measured.ours) == len(measured.theirs) == 2
    assert min(*measured.ours, *measured.theirs, *measured.limits) > 0
    assert max(measured.errors) < 1e-6


def test_the_page_has_what_the_kernels_and_their_tests_say() -> None:
    page = kernel_tables.PAGE.read_text(encoding="utf-8")
    assert kernel_tables.update(page) == page, "run scripts/kernel_tables.py"


@pytest.mark.parametrize("table", kernel_tables.MEASURED)
def test_the_page_has_every_measured_shape(table: str) -> None:
    page = kernel_tables.PAGE.read_text(encoding="utf-8")
    text = page.split(f"<!-- bench: {table} -->")[1].split("<!-- /bench -->")[0]
    assert re.findall(r"^\| `(.+?)` ", text, re.MULTILINE) == kernel_tables.MEASURED[table]
