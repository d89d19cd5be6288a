"""The kernels in PyTorch networks."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from typing import Any

import injected
import pytest
import torch
from inject_torch import operations
from injected import Injected, TimedKernels
from kernel_library import Kernels


@pytest.fixture
def timed(kernels: Kernels) -> Iterator[TimedKernels]:
    with torch.inference_mode():
        yield TimedKernels(kernels.path, 1)


def close(got: torch.Tensor, module: Any, *inputs: torch.Tensor) -> None:
    exact = copy.deepcopy(module).double()(*(x.double() for x in inputs))
    assert got.shape == exact.shape
    assert float((got - exact).abs().max()) < 1e-5 * max(1, float(exact.abs().max()))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((3, 20, 7), {"stride": 2, "padding": 3}),  # a stem
        ((16, 20, 3), {"padding": 1}),
        ((16, 20, 3), {"padding": 1, "stride": 2, "bias": False}),
        ((16, 16, 3), {"padding": 1, "groups": 16}),
        ((16, 24, 5), {"padding": "same", "groups": 4}),
        ((8, 12, (1, 4)), {"padding": "same", "dilation": 3}),  # more zeros on the right
        ((8, 12, (7, 1)), {"padding": "valid"}),
    ],
    ids=str,
)
def test_a_convolution_of_any_kind(timed: TimedKernels, arguments: Any, options: dict[str, Any]) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(*arguments, **options))
    x = torch.randn(2, arguments[0], 19, 23)
    ours = Injected(timed)
    close(ours.replace(copy.deepcopy(network))(x), network, x)
    assert ours.tallies["conv2d"].calls == 1


def test_a_convolution_with_other_padding_stays(timed: TimedKernels) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    ours = Injected(timed)
    ours.replace(network)
    assert isinstance(network[0], torch.nn.Conv2d)
    assert ours.tallies["conv2d"].left == {"padding of reflect": 1}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(30,), (5, 30), (2, 3, 5, 30)], ids=str)
def test_a_linear_layer(timed: TimedKernels, shape: tuple[int, ...], bias: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(30, 17, bias=bias))
    x = torch.randn(shape)
    close(Injected(timed).replace(copy.deepcopy(network))(x), network, x)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((5, 7), (7, 3)),
        ((2, 5, 7), (2, 7, 3)),
        ((2, 4, 5, 7), (2, 1, 7, 3)),  # one for several
        ((5, 7), (6, 7, 3)),
        ((2, 1, 3, 5, 7), (4, 1, 7, 3)),  # more batch dimensions than the kernel has
    ],
    ids=str,
)
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)], ids=str)
def test_a_product(
    timed: TimedKernels, a: tuple[int, ...], b: tuple[int, ...], turned: tuple[bool, bool]
) -> None:
    x, y = (
        torch.randn(*shape[:-2], shape[-1], shape[-2]).mT if is_turned else torch.randn(shape)
        for shape, is_turned in zip((a, b), turned, strict=True)
    )
    ours = Injected(timed)
    with ours.products():
        got = x @ y
    exact = x.double() @ y.double()
    assert ours.tallies["bmm"].calls == 1
    assert got.shape == exact.shape
    assert float((got - exact).abs().max()) < 1e-5


def test_attention(timed: TimedKernels) -> None:
    q, k, v = torch.randn(2, 3, 9, 8), torch.randn(2, 3, 11, 8), torch.randn(2, 3, 11, 5)
    ours = Injected(timed)
    attention = torch.nn.functional.scaled_dot_product_attention
    with ours.products():
        got = attention(q, k, v, scale=0.5)
        masked = attention(q, q, q, is_causal=True)
    exact = attention(q.double(), k.double(), v.double(), scale=0.5)
    assert float((got - exact).abs().max()) < 1e-5
    assert torch.equal(masked, attention(q, q, q, is_causal=True))
    assert ours.tallies["attention"].calls == 1
    assert ours.tallies["attention"].left == {"with is_causal": 1}


def zeros(*shape: int, **options: Any) -> torch.Tensor:
    return torch.zeros(shape, **options)


SDPA = torch.nn.functional.scaled_dot_product_attention
Q, K = zeros(2, 3, 9, 8), zeros(2, 3, 11, 8)
WIDE, ONE_HEAD = zeros(2, 3, 9, 257), zeros(2, 1, 11, 8)
A, B = zeros(2, 5, 7), zeros(2, 7, 3)


@pytest.mark.parametrize(
    ("function", "arguments", "options", "reason"),
    [
        (SDPA, (Q, K, K), {"attn_mask": zeros(9, 11)}, "with attn_mask"),
        (SDPA, (Q, K, K, zeros(9, 11)), {}, "with 4 positional arguments"),
        (SDPA, (), {"query": Q, "key": K, "value": K}, "with key, query, value"),
        (SDPA, (WIDE, WIDE, WIDE), {}, "of more than 256 channels"),
        (SDPA, (Q, ONE_HEAD, ONE_HEAD), {}, "of repeated keys or values"),
        (torch.bmm, (A, B), {"out": zeros(2, 5, 3)}, "with out"),
        (torch.matmul, (A,), {"other": B}, "with other"),
        (torch.matmul, (A, zeros(7)), {}, "of vectors"),
        (torch.matmul, (A.double(), B.double()), {}, "not of float32"),
        (torch.matmul, (A, zeros(2, 7, 0)), {}, "of empty tensors"),
        (torch.matmul, (zeros(2, 5, 0), zeros(2, 0, 3)), {}, "of empty tensors"),  # zeros
        (torch.matmul, (A, zeros(7, 3, requires_grad=True)), {}, "with gradients"),
    ],
)
def test_a_call_that_is_left_to_pytorch(
    timed: TimedKernels, function: Any, arguments: tuple[Any, ...], options: dict[str, Any], reason: str
) -> None:
    ours = Injected(timed)
    with ours.products():
        got = function(*arguments, **options)
    assert torch.equal(got, function(*arguments, **options))
    tally = ours.tallies["attention" if function is SDPA else "bmm"]
    assert (tally.left, tally.calls) == ({reason: 1}, 0)


def test_operations_on_the_command_line() -> None:
    assert operations("conv2d,bmm,linear") == ["conv2d", "bmm", "linear"]
    with pytest.raises(argparse.ArgumentTypeError, match="no operation is named 'gemm'; use conv2d"):
        operations("conv2d,gemm")


def test_only_the_operations_asked_for(timed: TimedKernels) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(36, 2))
    ours = Injected(timed, ["linear"])
    ours.replace(network)
    assert [type(layer) for layer in network] == [torch.nn.Conv2d, torch.nn.Flatten, injected.Linear]
    with ours.products():
        torch.randn(2, 3) @ torch.randn(3, 2)
    assert ours.tallies["linear"].layers == 1
