"""What rules write into a MAX graph, and what they refuse beforehand. Nothing is compiled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from max.dtype import DType
from max.graph import Graph, ops
from torch import nn

from yolo_max.convert import Rule, UnsupportedOperations, analyze, converter, lowering
from yolo_max.convert.converter import Network
from yolo_max.convert.rules import builtin_rules
from yolo_max.kernels import products
from yolo_max.kernels.call import CPU

FLOAT, INT, INT64 = torch.float32, torch.int32, torch.int64


class Function(nn.Module):  # type: ignore[misc]
    """A function as a module, with a convolution and a linear layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.conv, self.linear = function, nn.Conv2d(4, 4, 1), nn.Linear(4, 4)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def network(function: Callable[..., Any], shapes: Any, dtypes: Any = None, rules: Any = ()) -> Network:
    all_rules = builtin_rules().extended(rules)
    return Network.of(Function(function).eval(), shapes, "function", dtypes, all_rules)


@pytest.fixture(autouse=True)
def _stock_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs without our kernels, which need not be there."""

    class Kernels:
        def result(self) -> None: ...

    monkeypatch.setattr(converter, "precompile", Kernels)
    monkeypatch.setattr(
        lowering, "Graph", lambda name, input_types, **_: Graph(name, input_types=input_types)
    )


def results(graph: Graph) -> list[tuple[list[Any], DType]]:
    return [
        ([int(size) if str(size).isdigit() else str(size) for size in each.shape], each.dtype)
        for each in graph.output_types
    ]


LOWERED: dict[str, Any] = {
    # a function, its inputs, and what it gives
    "a slice beyond the end": (lambda _, x: x[:, 5:100], [(3, 10)], None, [3, 5]),
    "a slice from before the begin": (lambda _, x: x[:, -100:5], [(3, 10)], None, [3, 5]),
    "a slice with steps": (lambda _, x: x[:, -3:100:2], [(3, 10)], None, [3, 2]),
    "a whole slice of a symbol": (lambda _, x: x[:, ::1] + 1, [(3, "n")], None, [3, "n"]),
    "a map's rows": (lambda m, x: m.conv.weight.sum() + x[:, :, 3:100], [(1, 4, 8, 8)], None, [1, 4, 5, 8]),
    "cat": (lambda _, x, y: torch.cat([x, y]), [(2, 4), (2, 4)], [INT, INT64], [4, 4]),
    "cat of nothing": (lambda _, x: torch.cat([x, x], 1), [(2, 0)], None, [2, 0]),
    "cat of rows of nothing": (lambda _, x: torch.cat([x, x]), [("n", 0)], None, ["n * 2", 0]),
    "layer norm of nothing": (lambda _, x: nn.functional.layer_norm(x, (0,)), [(2, 0)], None, [2, 0]),
    "stack": (lambda _, x, y: torch.stack([x, y]), [(2, 4), (2, 4)], [FLOAT, INT64], [2, 2, 4]),
    "a number does not promote": (lambda _, x: x * torch.tensor(2), [(2, 4)], [INT], [2, 4]),
    "a tensor does": (lambda _, x: x * torch.tensor([2]), [(2, 4)], [INT], [2, 4]),
    "down": (lambda _, x: torch.div(x, 0.1, rounding_mode="floor"), [(4,)], None, [4]),
    "reduced to a number": (lambda _, x: x.sum().sum(), [(4,)], None, []),
    "filled with a size": (
        lambda _, x: torch.full((2,), x.shape[0], dtype=FLOAT) + x.sum(),
        [("n", 4)],
        None,
        [2],
    ),
    "a size as an operand": (lambda _, x: x * x.shape[0] + torch.arange(x.shape[0]), [("n",)], None, ["n"]),
    "places of symbols": (lambda _, x, i: x[i, :, i], [("n", 3, 4), (2,)], [FLOAT, INT64], [2, 3]),
    "a flattened symbol": (lambda _, x: x.flatten(2).mean(2), [("n", 3, "h", "w")], None, ["n", 3]),
    "expm1": (lambda _, x: torch.expm1(x), [(4,)], None, [4]),
}


@pytest.mark.parametrize("name", LOWERED)
def test_what_is_lowered_has_pytorchs_shape_and_dtype(name: str) -> None:
    function, shapes, dtypes, shape = LOWERED[name]
    net = network(function, shapes, dtypes)
    output = next(node for node in net.program.graph.nodes if node.op == "output").args[0][0]
    dtype = lowering.dtype_of(output.meta["val"].dtype)
    assert results(net.graph()) == [(shape, dtype)]


def test_expm1_is_no_difference_where_that_would_cancel() -> None:
    graph = str(network(lambda _, x: torch.expm1(x), [(4,)]).graph())
    assert re.search(r"\bselect\b|\.select", graph)


def test_what_is_rounded_down_is_divided_in_float64() -> None:
    """1 / 0.1 is 10 in float32, although ten times that 0.1 is more than 1."""
    graph = str(network(lambda _, x: torch.div(x, 0.1, rounding_mode="floor"), [(4,)]).graph())
    (division,) = re.findall(r"rmo\.(?:mo\.)?div.*", graph)
    assert "f64" in division


@pytest.mark.parametrize("dtype", [torch.bool, FLOAT])
def test_a_row_that_is_hidden_whole_is_0_as_in_pytorch(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its softmax is NaN, which a choice between that and 0 leaves out."""
    attention = nn.functional.scaled_dot_product_attention
    hidden = torch.tensor([[0, 0], [-torch.inf, -torch.inf]])
    given = [torch.randn(1, 1, 2, 4)] * 3
    for mask in (hidden, hidden == 0):
        assert not attention(*given, attn_mask=mask)[0, 0, 1].any()
    monkeypatch.setattr(products, "matmul", lambda a, b, **_: a)
    monkeypatch.setattr(products, "softmax", lambda scores: ops.softmax(scores))
    shapes = [(1, 1, 2, 2), (2, 2)]
    graph = str(
        network(lambda _, x, mask: attention(x, x, x, attn_mask=mask), shapes, [FLOAT, dtype]).graph()
    )
    after_softmax = graph[graph.index("softmax") :] if "softmax" in graph else graph[graph.index("exp") :]
    assert len(re.findall(r"\bselect\b|\.select", after_softmax)) == 1


REFUSED: dict[str, Any] = {
    # a function, its inputs, and why it is refused
    "an empty slice": (lambda _, x: x[:, 5:2], [(3, 10)], None, "nothing is left of it"),
    "an empty slice of a symbol": (
        lambda _, x: x[:, :0],
        [(3, "n")],
        None,
        "the sliced dimension is not static",
    ),
    "parts of a symbol": (
        lambda _, x: x.split([2, x.shape[3] - 2], 3)[0],
        [(1, 3, 8, "n")],
        None,
        "divided dimension is not static",
    ),
    "widths of a symbol": (
        lambda _, x: x.chunk(2, 3)[0],
        [(1, 3, 8, "n")],
        None,
        "divided dimension is not static",
    ),
    "a number's sum": (lambda _, x: x.sum().sum(0), [(4,)], None, "no dimension to reduce"),
    "half a size": (lambda _, x: x * (x.shape[0] / 2), [("n",)], None, "a size that is no integer"),
    "places by a mask": (lambda _, x: x[x > 0].sum(), [(4,)], None, "depends on the values"),
    "written by a mask": (
        lambda _, x: torch.ops.aten.index_put(x, [None, x[0] > 0], x[0, :1].expand(2, 1)),
        [(2, 4)],
        None,
        "by a mask",
    ),
    "a view of a view": (lambda _, x: x.t().as_strided((2,), (1,)), [(3, 4)], None, "of a view"),
    "the largest of a bag": (
        lambda _, x, i: nn.functional.embedding_bag(i, x, mode="max"),
        [(3, 4), (2, 2)],
        [FLOAT, INT64],
        "takes the largest",
    ),
    "bicubic samples": (
        lambda _, x, grid: nn.functional.grid_sample(x, grid, "bicubic", align_corners=True),
        [(1, 3, 4, 4), (1, 2, 2, 2)],
        None,
        "bicubic",
    ),
    "a volume of any depth": (
        lambda _, x: nn.functional.avg_pool3d(x, 2),
        [(1, 3, "depth", 8, 8)],
        None,
        "the depth is not static",
    ),
    "a number's softmax": (lambda _, x: x.sum().softmax(0), [(4,)], None, "a number has no dimensions"),
    "a number's variance": (lambda _, x: x.sum().var(0), [(4,)], None, "no dimension to reduce"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    function, shapes, dtypes, reason = REFUSED[name]
    report = analyze(Function(function).eval(), shapes, input_dtypes=dtypes)
    assert any(reason in each.reason for each in report.blockers), report.summary()


@pytest.mark.parametrize(
    ("function", "shape"),
    [(lambda m, x, y: m.conv(x) + y, (1, 4, 8, 8)), (lambda m, x, y: m.linear(x) + y, (2, 4))],
)
def test_a_residual_has_the_dtype_of_what_it_is_added_to(function: Callable[..., Any], shape: Any) -> None:
    aten = torch.ops.aten.add.Tensor
    for dtype, is_added in ((FLOAT, False), (INT64, True)):
        program = network(function, [shape, shape], [FLOAT, dtype]).program
        assert any(node.target is aten for node in program.calls()) == is_added


@pytest.mark.parametrize(
    ("lower", "reason"),
    [
        (lambda _call, x: 1 / 0, r"ZeroDivisionError: division by zero"),
        (lambda _call, x: ops.constant(1, DType.int64, CPU), "its result is int64, and PyTorch's float32"),
        (lambda _call, x: x[:3], r"its result is \[3\], and PyTorch's \[4\]"),
        (lambda _call, x: ops.reshape(x, [2, 2]), r"its result is \[2, 2\], and PyTorch's \[4\]"),
    ],
)
def test_a_rule_that_fails_names_its_operation(lower: Callable[..., Any], reason: str) -> None:
    rule = Rule(torch.ops.aten.erfinv.default, lower)
    net = network(lambda _, x: torch.erfinv(x), [(4,)], rules=[rule])
    with pytest.raises(UnsupportedOperations, match=f"aten.erfinv.default.*{reason}") as caught:
        net.graph()
    assert [each.operation for each in caught.value.operations] == ["aten.erfinv.default"]


def test_views_of_constants_are_folded_as_they_are_run() -> None:
    table = torch.arange(12.0).reshape(3, 4)
    net = network(lambda _, x: x + table.t().contiguous().view(12), [(12,)])
    assert [node.target for node in net.program.calls()] == [torch.ops.aten.add.Tensor]


def test_a_network_has_one_digest_in_every_process() -> None:
    """By which its compiled graph is found again."""
    code = (
        "from torch import nn; from yolo_max.convert.converter import Network; "
        "from yolo_max.convert.rules import builtin_rules; "
        "module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 2)); "
        "print(Network.of(module.eval(), [(1, 3, 4, 4)], None, None, builtin_rules()).digest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1] != ""
