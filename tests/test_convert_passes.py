"""What passes do to a captured graph: PyTorch runs it, and it computes the same. Nothing is compiled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import convert_networks as networks
import pytest
import torch
from torch import einsum, nn
from torch.nn import functional

from yolo_max.convert import fused
from yolo_max.convert.analyzer import captured, examine
from yolo_max.convert.fusion import conv_tail
from yolo_max.convert.layout import orders, transposed
from yolo_max.convert.lowering import build_graph
from yolo_max.convert.program import Program, name_of
from yolo_max.convert.rules import builtin_rules
from yolo_max.kernels.activation import Activation
from yolo_max.runtime.kernel_package import precompile

RULES = builtin_rules()
MAP = (2, 3, 16, 24)


def fused_program(module: nn.Module, *shapes: tuple[int | str, ...]) -> Program:
    program = captured(module, shapes, None, RULES)
    report = examine(type(module).__name__, program, RULES)
    assert report.convertible, report.summary()
    return program


def operations(program: Program) -> dict[str, int]:
    return dict(Counter(name_of(node) for node in program.calls()))


def check(module: nn.Module, program: Program, x: torch.Tensor) -> None:
    """The graph in float64 is as near to the module in float64 as weights rounded once can be."""
    with torch.no_grad():
        exact = module.double()(x.double())
    (got,) = program.run(x.double(), dtype=torch.float64)
    assert got.shape == exact.shape
    assert float((got - exact).abs().max()) <= 1e-6 * float(exact.abs().max())


def lowered_shapes(program: Program) -> list[list[int]]:
    """Of the outputs of the MAX graph that the rules write."""
    graph = build_graph(program, RULES, orders(program, RULES), "passes", precompile().result())
    return [[int(size) for size in each.shape] for each in graph.output_types]


class Wired(nn.Module):  # type: ignore[misc]
    """Two convolutions, and what is done with their outputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.a, self.b = networks.conv_norm(3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.slopes, self.function = nn.BatchNorm2d(3, eps=1e-2), nn.PReLU(3), function

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


CONV, ADD, RELU = "conv2d", "aten.add.Tensor", "aten.relu.default"
DIV, RECIPROCAL = "aten.div.Tensor", "aten.reciprocal.default"
TRANSPOSED, PAD, SLICE = "conv_transpose2d", "aten.constant_pad_nd.default", "aten.slice.Tensor"

WIRED = {
    # how convolutions are wired: the operations that are left
    "residual, then activation": (lambda m, x: (m.a(x) + x).relu(), {CONV: 1}),
    "the other way round": (lambda m, x: (x + m.a(x)).relu(), {CONV: 1}),
    "activation, then residual": (lambda m, x: m.a(x).relu() + x, {CONV: 1}),
    "activation, residual, activation": (lambda m, x: (m.a(x).relu() + x).relu(), {CONV: 1, RELU: 1}),
    "two convolutions": (lambda m, x: (m.a(x) + m.b(x)).relu(), {CONV: 2}),
    "two residuals": (lambda m, x: m.a(x) + x + x, {CONV: 1, ADD: 1}),
    "read twice": (lambda m, x: (lambda y: y.relu() + y)(m.a(x)), {CONV: 1, RELU: 1, ADD: 1}),
    "added to itself": (lambda m, x: (lambda y: y + y)(m.a(x)), {CONV: 1, ADD: 1}),
    "a broadcast residual": (lambda m, x: m.a(x) + x[:, :1], {CONV: 1, ADD: 1, "aten.slice.Tensor": 1}),
    "a broadcast convolution": (lambda m, x: m.b(x)[:, :1] + x, {CONV: 1, ADD: 1, "aten.slice.Tensor": 1}),
    "a factor of the residual": (lambda m, x: torch.add(m.a(x), x, alpha=2), {CONV: 1, ADD: 1}),
    "a factor of a convolution": (lambda m, x: m.a(x) * 0.2 + x, {CONV: 1}),
    "a factor behind its activation": (lambda m, x: m.a(x).relu() * 0.2, {CONV: 1, "aten.mul.Tensor": 1}),
    "a factor of its input": (lambda m, x: m.b(x / 255), {CONV: 1}),
    "a factor of what two convolutions read": (lambda m, x: (lambda y: m.a(y) + m.b(y))(3 * x), {CONV: 2}),
    "a factor that is read besides": (lambda m, x: (lambda y: m.b(y) + y)(x / 3), {CONV: 1, DIV: 1}),
    "a number divided": (lambda m, x: m.b(3 / x), {CONV: 1, RECIPROCAL: 1}),
    "a factor that overflows": (lambda m, x: m.b(x * 1e30), {CONV: 1, "aten.mul.Tensor": 1}),
    "factors of its channels": (lambda m, x: (m.slopes.weight[:, None, None] * m.b(x)).relu(), {CONV: 1}),
    "factors of columns": (lambda m, x: m.b(x) * torch.arange(24.0), {CONV: 1, "aten.mul.Tensor": 1}),
    "PReLU": (lambda m, x: m.slopes(m.a(x)), {CONV: 1}),
    "ReLU6": (lambda m, x: functional.relu6(m.a(x)), {CONV: 1}),
    "another hard tanh": (lambda m, x: functional.hardtanh(m.a(x)), {CONV: 1, "aten.hardtanh.default": 1}),
    "a norm of what is read twice": (lambda m, x: (lambda y: m.norm(y) + y)(m.b(x)), {CONV: 2}),
    "two norms": (lambda m, x: m.norm(m.a(x)), {CONV: 1}),
    "one convolution twice, with and without a norm": (lambda m, x: m.b(m.norm(m.b(x))), {CONV: 2}),
    "a norm first": (lambda m, x: m.norm(x).relu(), {CONV: 1}),
}


@pytest.mark.parametrize("name", WIRED)
def test_what_is_fused(name: str) -> None:
    function, expected = WIRED[name]
    x = torch.randn(MAP)
    module = networks.settled(Wired(function), x)
    nn.init.uniform_(module.slopes.weight)
    program = fused_program(module, MAP)
    assert operations(program) == expected
    check(module, program, x)


def test_a_factor_is_as_exact_as_the_weights() -> None:
    rules = builtin_rules(dtype=torch.float64)
    module, x = Wired(lambda m, x: m.b(x) * 0.1).eval().double(), torch.randn(MAP, dtype=torch.float64)
    program = captured(module, [MAP], [torch.float64], rules)
    assert examine("factor", program, rules).convertible
    assert operations(program) == {CONV: 1}
    expected = module(x).detach()
    assert float((program.run(x)[0] - expected).abs().max()) <= 1e-14 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("function", "first", "activation"),
    [
        (lambda m, x: (m.a(x) + x).relu(), True, Activation.RELU),
        (lambda m, x: m.a(x).relu() + x, False, Activation.RELU),
        (lambda m, x: m.a(x) + x, False, Activation.NONE),
    ],
    ids=["before", "behind", "without an activation"],
)
def test_where_a_residual_is_added(function: Any, first: bool, activation: Activation) -> None:
    program = fused_program(Wired(function).eval(), MAP)
    (node,) = program.calls()
    found, _, _, residual, residual_first = conv_tail(node)
    assert (found, residual is not None, residual_first) == (activation, True, first)


@pytest.mark.parametrize(
    ("k", "options", "operations_left"),
    [
        (4, {"padding": 1}, [TRANSPOSED]),  # exactly twice as large
        (3, {"padding": 1, "output_padding": 1}, [TRANSPOSED]),
        (3, {"padding": 1}, [TRANSPOSED, SLICE]),  # a row less
        (4, {}, [TRANSPOSED, PAD, SLICE]),  # two rows more
        (5, {"padding": 4, "output_padding": 1}, [TRANSPOSED, SLICE]),  # in front as well
        (1, {"stride": 3, "output_padding": 2}, [TRANSPOSED]),  # smaller than its stride
        (3, {"dilation": (2, 3), "padding": (2, 3), "output_padding": 1}, [TRANSPOSED]),
        (4, {"padding": 1, "groups": 3}, [TRANSPOSED]),
        ((5, 2), {"stride": (1, 2), "padding": (2, 0)}, [TRANSPOSED]),
    ],
    ids=str,
)
def test_transposed_convolutions(k: Any, options: dict[str, Any], operations_left: list[str]) -> None:
    module = nn.ConvTranspose2d(6, 9, k, **{"stride": 2, **options}).eval()
    x = torch.randn(2, 6, 5, 7)
    program = fused_program(module, tuple(x.shape))
    assert set(operations(program)) == set(operations_left)
    check(module, program, x)


def test_levels_that_are_concatenated_and_transposed_are_rows() -> None:
    """YOLO's head: boxes and classes of both levels, which become maps; one operation copies their pixels."""

    class Head(nn.Module):  # type: ignore[misc]
        def forward(self, *maps: Any) -> Any:
            flat = [each.flatten(2) for each in maps]
            return torch.cat([torch.cat(flat[:2], 2), torch.cat(flat[2:], 2)], 1).permute(0, 2, 1)

    shapes = [(2, 3, 4, 6), (2, 3, 2, 3), (2, 5, 4, 6), (2, 5, 2, 3)]
    module, given = Head().eval(), [torch.randn(shape) for shape in shapes]
    program = fused_program(module, *shapes)
    assert operations(program) == {"aten.cat.default": 2, "rows_of_maps": 1}
    assert len(transposed(program, orders(program, RULES))) == 2
    assert torch.equal(program.run(*given)[0], module(*given))
    assert lowered_shapes(program) == [[2, 30, 8]]


NETWORKS = {
    # a network, its input, and which tensors are transposed
    "MLP": (networks.MLP, (4, 20), 0),
    "CNN": (networks.CNN, (2, 1, 28, 28), 0),  # one channel is in both orders; the weights are permuted
    "residual": (lambda: networks.Residual(3, 8, 2), MAP, 2),  # the input and the output
    "UNet": (networks.UNet, MAP, 2),
    "DenseNet": (networks.DenseBlock, MAP, 2),
    "gated": (networks.Gated, MAP, 2),
    "encoder": (networks.Encoder, (2, 5, 16), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_stays_the_same_and_has_no_transposes_inside(name: str) -> None:
    make, shape, count = NETWORKS[name]
    x = torch.randn(shape)
    module = networks.settled(make(), x)
    program = fused_program(module, shape)
    assert len(transposed(program, orders(program, RULES))) == count
    check(module, program, x)


class Deep(nn.Module):  # type: ignore[misc]
    """Two residual blocks of lines or volumes, and the channels of both."""

    def __init__(self, conv: Any, norm: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(3, 3, 3, padding=1, bias=False), norm(3), nn.ReLU()) for _ in range(2)
        )

    def forward(self, x: Any) -> Any:
        first = functional.gelu(self.blocks[0](x)) + x
        second = self.blocks[1](first) + first
        return torch.cat([first, torch.cat([second, first], 1)], 1)


@pytest.mark.parametrize(
    ("conv", "norm", "shape", "left"),
    [
        (nn.Conv1d, nn.BatchNorm1d, (2, 3, 10), {CONV: 2, "as_maps": 1, "as_lines": 1}),
        (nn.Conv3d, nn.BatchNorm3d, (2, 3, 4, 6, 8), {CONV: 2, "as_maps": 1, "as_volumes": 1}),
    ],
)
def test_lines_and_volumes_are_maps_inside(conv: Any, norm: Any, shape: Any, left: dict[str, int]) -> None:
    x = torch.randn(shape)
    module = Deep(conv, norm).eval()
    for each in module.blocks:
        each[1].running_var.uniform_(0.5, 2)
    program = fused_program(module, shape)
    assert {name: operations(program).get(name) for name in left} == left
    assert transposed(program, orders(program, RULES)) == []
    check(module, program, x)


ATTENTION = "attention"


class ByHand(nn.Module):  # type: ignore[misc]
    """Attention as networks write it, of ``[2, heads, 5, 8]``."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.linear = function, nn.Linear(8, 8)
        self.bias, self.scale = nn.Parameter(torch.randn(3, 5, 5)), nn.Parameter(torch.rand(3, 1, 1))
        self.register_buffer("mask", torch.where(torch.rand(2, 5, 5) > 0.8, -100.0, 0.0))

    def forward(self, x: Any) -> Any:
        return self.function(self, x, self.linear(x), x.flip(2))


def _shifted_windows(m: Any, q: Any, k: Any, v: Any) -> Any:
    """Swin's: a bias of each pair of places, and a mask of each window."""
    scores = (q * 0.3) @ k.mT + m.bias
    scores = scores.view(1, 2, 3, 5, 5) + m.mask.unsqueeze(1).unsqueeze(0)
    return scores.view(2, 3, 5, 5).softmax(-1) @ v


MATMUL, SOFTMAX = "aten.matmul.default", "aten.softmax.int"
BY_HAND = {
    # how attention is written: whether it is recognised, and what is left beside it, linear and flip
    "scaled scores": (lambda m, q, k, v: (q @ k.mT * 0.3).softmax(-1) @ v, True, set()),
    "divided scores": (lambda m, q, k, v: (q @ k.transpose(2, 3) / 8**0.5).softmax(3) @ v, True, set()),
    "scaled queries": (lambda m, q, k, v: ((q * 0.3) @ k.mT).softmax(-1) @ v, True, set()),
    "scaled keys": (lambda m, q, k, v: (q @ (k * 0.3).mT).softmax(-1) @ v, True, set()),
    "scaled twice": (lambda m, q, k, v: ((q * 0.5) @ k.mT * 0.3).softmax(-1) @ v, True, set()),
    "with dropout": (
        lambda m, q, k, v: functional.dropout((q @ k.mT).softmax(-1), 0.1, False) @ v,
        True,
        set(),
    ),
    "with a bias": (lambda m, q, k, v: (q @ k.mT * 0.3 + m.bias).softmax(-1) @ v, True, set()),
    "bias first": (lambda m, q, k, v: (m.bias + q @ k.mT).softmax(-1) @ v, True, set()),
    "with a computed bias": (
        lambda m, q, k, v: (q @ k.mT + q[..., :5]).softmax(-1) @ v,
        True,
        {"aten.slice.Tensor"},
    ),
    "a scale for each head": (
        lambda m, q, k, v: (q @ k.mT * m.scale + m.bias).softmax(-1) @ v,
        True,
        {"aten.mul.Tensor"},
    ),
    "windows": (_shifted_windows, True, set()),
    "channels first": (
        lambda m, q, k, v: v.mT @ (q @ k.mT * 0.3).softmax(-1).mT,
        True,
        {"aten.permute.default"},
    ),
    "by einsum": (  # MaxViT's
        lambda m, q, k, v: einsum(
            "bhij,bhjd->bhid", (einsum("bhid,bhjd->bhij", q, k * 0.3) + m.bias).softmax(-1), v
        ),
        True,
        set(),
    ),
    "by einsum, channels first": (
        lambda m, q, k, v: einsum("...dj,...ij->...di", v.mT, einsum("...id,...jd->...ij", q, k).softmax(-1)),
        True,
        {"aten.permute.default"},
    ),
    "as PyTorch has it": (
        lambda m, q, k, v: functional.scaled_dot_product_attention(q, k, v),
        False,
        {"aten.scaled_dot_product_attention.default"},
    ),
    "a scaled bias": (
        lambda m, q, k, v: ((q @ k.mT + m.bias) * 0.3).softmax(-1) @ v,
        False,
        {MATMUL, "aten.add.Tensor", "aten.mul.Tensor", SOFTMAX, "aten.permute.default"},
    ),
    "over the queries": (
        lambda m, q, k, v: (q @ k.mT).softmax(-2) @ v,
        False,
        {MATMUL, SOFTMAX, "aten.permute.default"},
    ),
    "scores that are read": (
        lambda m, q, k, v: (lambda a: a @ v + a.sum())((q @ k.mT).softmax(-1)),
        False,
        {MATMUL, SOFTMAX, "aten.permute.default", "aten.add.Tensor", "aten.sum.default"},
    ),
    "one head of keys": (
        lambda m, q, k, v: (q @ k[:, :1].mT).softmax(-1) @ v,
        False,
        {MATMUL, SOFTMAX, "aten.permute.default", "aten.slice.Tensor"},
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_attention_is_recognised_however_it_is_written(name: str) -> None:
    function, recognised, left = BY_HAND[name]
    shape = (2, 3, 5, 8)
    module, x = ByHand(function).eval(), torch.randn(shape)
    program = fused_program(module, shape)
    found = operations(program)
    assert found.pop(ATTENTION, 0) == recognised
    assert set(found) - {"linear", "aten.flip.default"} == left
    check(module, program, x)


SHARED_HEADS = {
    # how many heads keys and values have, and the options of 4 heads of queries
    "one for all": (1, {}),
    "in groups": (2, {"enable_gqa": True}),
    "of their own": (4, {"enable_gqa": True}),
}


@pytest.mark.parametrize("name", SHARED_HEADS)
@pytest.mark.parametrize("batch", [2, "batch"])
def test_heads_that_share_keys_and_values(name: str, batch: int | str) -> None:
    heads, options = SHARED_HEADS[name]

    class Shared(nn.Module):  # type: ignore[misc]
        def forward(self, q: Any, k: Any) -> Any:
            return functional.scaled_dot_product_attention(q, k, k.flip(-1), **options)

    module, q, k = Shared().eval(), torch.randn(2, 4, 5, 8), torch.randn(2, heads, 7, 8)
    program = fused_program(module, (batch, 4, 5, 8), (batch, heads, 7, 8))
    assert operations(program).get("aten.index_select.default", 0) == (0 if heads == 4 else 2)
    torch.testing.assert_close(program.run(q, k)[0], module(q, k))


def test_an_attention_says_what_it_stands_for() -> None:
    module = ByHand(_shifted_windows).eval()
    report = examine("", captured(module, [(2, 3, 5, 8)], None, RULES), RULES)
    (group,) = report.fused
    assert [part.split(".")[1] for part in group] == [
        "mul",
        "matmul",
        "add",
        "view",
        "softmax",
    ]


def test_each_batch_norm_is_folded_with_its_own_eps() -> None:
    """With variances as small as the eps, another eps would show."""
    x = torch.randn(MAP)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-3), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, eps=0.5)
    )
    for norm in (module[1], module[3]):
        norm.running_var.fill_(1e-3)
    module.eval()
    program = fused_program(module, MAP)
    assert operations(program) == {CONV: 2}
    check(module, program, x)


def test_a_weight_that_is_used_twice_is_kept_once() -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    module[2].weight = module[0].weight
    program = fused_program(module.eval(), MAP)
    assert sum("weight" in name for name in program.constants) == 1


def test_constants_are_computed_beforehand() -> None:
    class Positions(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + torch.arange(24).float().sin() * 0.5

    program = fused_program(Positions().eval(), MAP)
    assert operations(program) == {ADD: 1}
    check(Positions(), program, torch.randn(MAP))


def test_random_numbers_are_no_constants() -> None:
    class Noise(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + torch.rand(24)

    program = captured(Noise().eval(), [MAP], None, RULES)
    assert "aten.rand.default" in operations(program)


def test_a_fused_operation_says_what_it_stands_for() -> None:
    report = examine("", captured(networks.Residual(3, 8, 2).eval(), [MAP], None, RULES), RULES)
    assert sorted([part.rpartition(": ")[0] for part in group] for group in report.fused) == [
        ["conv1.0", "conv1.1", ""],
        ["conv2.0", "conv2.1", "", ""],  # the residual and its activation
        ["shortcut.0", "shortcut.1"],
    ]


def test_maps_that_become_rows_and_back_are_not_moved() -> None:
    """ConvNeXt's layer norm over channels, between convolutions."""
    norm = nn.LayerNorm(3)
    module = Wired(lambda m, x: m.b(norm(m.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)))
    program = fused_program(module.eval(), MAP)
    assert len(transposed(program, orders(program, RULES))) == 2  # the input and the output
    assert fused.conv2d in {node.target for node in program.calls()}


FLATTENED = {
    # how maps are flattened and transposed, and which tensors are transposed besides the input
    "flat": (lambda m, x: m.a(x).flatten(2).transpose(1, 2), 0),
    "levels, then branches": (
        lambda m, x: torch.cat(
            [torch.cat([m.a(x).flatten(2), m.b(m.a(x)[:, :, ::2]).flatten(2)], 2), m.b(x).flatten(2)], -1
        ).transpose(1, 2),
        0,
    ),
    "channels": (lambda m, x: torch.cat([m.a(x).flatten(2), m.b(x).flatten(2)], 1).permute(0, 2, 1), 0),
    "read twice": (lambda m, x: (lambda y: y.transpose(1, 2) @ y)(m.a(x).flatten(2)), 1),
    "with rows": (lambda m, x: torch.cat([m.a(x).flatten(2), x[:, :, 0]], 2).transpose(1, 2), 1),
    "batches": (lambda m, x: torch.cat([m.a(x).flatten(2), m.b(x).flatten(2)], 0).transpose(1, 2), 2),
    "flags": (
        lambda _, x: torch.cat([(x > 0).flatten(2), (x[:, :, ::2] > 0).flatten(2)], 2).mT.float(),
        0,
    ),
    "two dtypes": (lambda _, x: torch.cat([x.flatten(2), (x[:, :, ::2] > 0).flatten(2)], 2).mT, 0),
    "no map": (lambda m, x: (x.reshape(2, 3, 24, 16) * 2).flatten(2).transpose(1, 2), 1),
}


@pytest.mark.parametrize("name", FLATTENED)
def test_flattened_maps_are_transposed_as_they_lie_in_memory(name: str) -> None:
    function, count = FLATTENED[name]
    x = torch.randn(MAP)
    module = networks.settled(Wired(function), x)
    program = fused_program(module, MAP)
    inside = [node for node in transposed(program, orders(program, RULES)) if node.op != "placeholder"]
    assert len(inside) == count
    assert lowered_shapes(program) == [list(module(x).shape)]
    check(module, program, x)
