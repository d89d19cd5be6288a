"""Each rule against PyTorch in float64: all in one graph, which takes minutes to compile."""

from __future__ import annotations

from functools import cache
from typing import Any

import convert_more_rows
import convert_place_rows
import convert_rows
import pytest
import torch
from torch.utils import _pytree as pytree

from yolo_max.convert import convert_pytorch_model
from yolo_max.convert.analyzer import captured, examine
from yolo_max.convert.capture import capture
from yolo_max.convert.rules import builtin_rules

aten = torch.ops.aten
SHAPES = [convert_rows.MAPS, convert_rows.ROWS, convert_rows.INDICES]
DTYPES = [torch.float32, torch.float32, torch.int64]
RATIO, ULP = 4, 2.0**-23
"""How many times as far from float64 as PyTorch an output may be, or as the last bit of the largest one."""
SYMBOLIC = {
    f"aten.{name}"
    for name in (
        "full.default",
        "zeros.default",
        "ones.default",
        "empty.memory_format",
        "empty_strided.default",
        "arange.start_step",
        "scalar_tensor.default",
    )
}
"""Constants, unless their size is symbolic."""


TABLES = (convert_rows.TABLE, convert_more_rows.TABLE, convert_place_rows.TABLE)


def module(table: convert_more_rows.Table) -> torch.nn.Module:
    torch.manual_seed(0)
    return convert_rows.Everything(table).eval()


def test_every_rule_has_a_row() -> None:
    rules = builtin_rules()
    whole = [rule.operation for rule in rules if isinstance(rule.operation, torch._ops.OpOverload)]
    seen = set()
    for table in TABLES:
        seen |= {node.target for node in capture(module(table), SHAPES, DTYPES, whole).calls()}
        program = captured(module(table), SHAPES, DTYPES, rules)
        seen |= {node.target for node in program.calls()}
        report = examine("rows", program, rules)
        assert report.convertible, report.summary()
        seen |= {node.target for node in program.calls()}
    assert {str(rule.operation) for rule in rules if rule.operation not in seen} <= SYMBOLIC


def test_constants_of_symbolic_sizes_have_rules() -> None:
    class Constants(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            n = len(x)
            own = torch.zeros(n) + torch.ones(n) + torch.full((n,), 2.0) + torch.arange(1, 2 * n, 2)
            empty = torch.empty(n) * 0 + torch.empty_strided((n,), (1,)) * 0
            return x + own + empty + aten.scalar_tensor(n)

    rules = builtin_rules()
    program = captured(Constants().eval(), [("batch",)], None, rules)
    assert {str(node.target) for node in program.calls()} >= SYMBOLIC
    assert examine("constants", program, rules).convertible


@cache
def outputs(number: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What MAX computes of a table, PyTorch, and PyTorch in float64."""
    rows, given = module(TABLES[number]), convert_rows.inputs()
    got = convert_pytorch_model(rows, SHAPES, input_dtypes=DTYPES)(*given)
    with torch.no_grad():
        plain = rows(*given)
        exact = rows.double()(*(each.double() if each.is_floating_point() else each for each in given))
    return got, plain, exact


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("number", "name"), [(number, name) for number, table in enumerate(TABLES) for name in table]
)
def test_a_row(number: int, name: str) -> None:
    leaves = (pytree.tree_leaves(each[name]) for each in outputs(number))
    for mine, theirs, best in zip(*leaves, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        off, torch_off = (float((each.double() - best.double()).abs().max()) for each in (mine, theirs))
        assert off <= RATIO * max(torch_off, ULP * float(best.double().abs().max()))
