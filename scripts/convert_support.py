"""Write docs/convert-support.md: which of PyTorch's operations the converter lowers, out of its rules.

python scripts/convert_support.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from yolo_max.convert.rule import Bf16, Layout, Rule
from yolo_max.convert.rules import builtin_rules
from yolo_max.convert.rules.stock import kernels_only

PAGE = Path(__file__).resolve().parent.parent / "docs" / "convert-support.md"
LAYOUTS = {
    Layout.ROWS: "PyTorch's",
    Layout.MAPS: "NHWC",
    Layout.FOLLOWS: "that of its inputs",
}
REASONS = {
    "computes gradients": r"_backward",
    "gives random numbers": r"\.rand|\.randn|\.randperm",
    "is of complex numbers": r"_fft_",
    "gives what depends on the values of its inputs": r"_local_scalar_dense|nonzero|masked_scatter",
    "changes its argument": r"resize_|\.out",
    "has no defined values": r"\.empty",
    "is about a size: sizes are expressions of MAX's": r"\.sym_",
    "takes the statistics of the batch": r"_native_batch_norm_legit",
    "is of maps of three dimensions": r"pool3d",
    "is computed beforehand if it is static": r"arange|scalar_tensor",
}
"""Why operations have no rule, by a pattern of their names."""
IN_FLOAT64 = builtin_rules(dtype=torch.float64)
TEXT = """\
# What the converter supports

`python scripts/convert_support.py` writes this page out of the rules; a test compares them. Each operation is
held against PyTorch in float64 by `test_convert_rules.py::test_a_row`.

Every rule is for the CPU. "MAX" means MAX's own elementwise, reducing or reshaping operations; convolutions,
pools and products are never MAX's. "Copies" are a kernel's, where sizes behind the axis are
static. [convert.md](convert.md) explains the order of dimensions.

With `dtype="bfloat16"` an operation computes maps of bfloat16, follows its inputs, or is float32. With
`dtype="float64"` it is computed on MAX's operations, or refused.

| operation | computed on | order of dimensions | dtypes | refuses some | bfloat16 | float64 |
|---|---|---|---|---|---|---|
{rows}

## Core ATen operations
Of the {core} overloads that PyTorch {version} calls core, {with_rule} have a rule of their own. Others are
not needed where what would be decomposed into them is kept whole: `conv2d` needs no `convolution`.

Without a rule:

{without}
"""


def page() -> str:
    """The page's text."""
    rules = [rule for rule in builtin_rules() if isinstance(rule.operation, torch._ops.OpOverload)]
    core = _core_operations()
    with_rule = {str(rule.operation) for rule in rules}
    decomposed = {str(operation) for operation in torch.export.default_decompositions()}
    version = torch.__version__.partition("+")[0]
    return TEXT.format(
        rows="\n".join(_row(rule) for rule in sorted(rules, key=lambda rule: str(rule.operation))),
        with_rule=len(core & with_rule),
        core=len(core),
        version=version,
        without="\n".join(f"- `{name}` {_reason(name, decomposed)}" for name in sorted(core - with_rule)),
    )


def _reason(name: str, decomposed: set[str]) -> str:
    found = (reason for reason, pattern in REASONS.items() if re.search(pattern, name))
    return next(found, "is decomposed into others" if name in decomposed else "is not lowered yet")


def _row(rule: Rule) -> str:
    order = LAYOUTS[rule.layout] if isinstance(rule.layout, Layout) else "by its dimensions"
    dtypes = ", ".join(sorted(str(each).removeprefix("torch.") for each in rule.dtypes))
    refuses = "yes" if rule.refuses is not Rule.refuses else ""
    low = _bf16(rule)
    exact = "" if torch.float32 not in rule.dtypes else "yes" if _is_in_float64(rule) else "refused"
    return f"| `{rule.operation}` | {rule.on} | {order} | {dtypes} | {refuses} | {low} | {exact} |"


def _bf16(rule: Rule) -> str:
    if rule.on == "conv2d" or rule.on == "conv_transpose2d":  # what passes make of them has the rule
        return "computes"
    return "follows" if rule.bf16 is Bf16.FOLLOWS else ""


def _is_in_float64(rule: Rule) -> bool:
    """Whether it is computed there, of some arguments."""
    there = IN_FLOAT64[rule.operation]
    return torch.float64 in there.dtypes and there.refuses is not kernels_only


def _core_operations() -> set[str]:
    """All overloads with PyTorch's tag for its core set."""
    found = set()
    for name in torch._C._dispatch_get_all_op_names():
        library, _, path = name.partition("::")
        packet, _, overload = path.partition(".")
        if library == "aten":
            operation: Any = getattr(getattr(torch.ops.aten, packet), overload or "default")
            if torch.Tag.core in operation.tags:
                found.add(str(operation))
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
