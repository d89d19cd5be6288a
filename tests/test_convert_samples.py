"""The rules on PyTorch's own samples of its operators (``OpInfo``), up to a graph of MAX's.

PyTorch runs what the passes have made of a sample, and a rule has to give the shape and dtype that PyTorch
gives. What MAX computes is in ``test_convert_rules.py``.
"""

from __future__ import annotations

import sys
import unittest
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import torch
from max.graph import DeviceRef
from torch import nn
from torch.utils import _pytree as pytree

from yolo_max.convert.analyzer import captured, examine
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.layout import orders
from yolo_max.convert.lowering import build_graph
from yolo_max.convert.rules import builtin_rules
from yolo_max.runtime.kernel_package import precompile

pytestmark = pytest.mark.zoo
RULES = builtin_rules()
SAMPLES = 4
"""Of each operator, the first ones that have elements."""
UNDEFINED = {"as_strided", "empty", "empty_strided"}
"""Whose samples read memory outside of the tensor that they are given, or are uninitialised memory."""


def operators() -> dict[str, Any]:
    """PyTorch's descriptions of the operators that have a rule, by name.

    But for :data:`UNDEFINED` ones.
    """
    if find_spec("expecttest") is None:  # a base class of PyTorch's own tests, which are not run
        sys.modules["expecttest"] = stand_in = ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
    samples = import_module("torch.testing._internal.common_methods_invocations")
    ruled = {
        str(rule.operation).split(".")[1]
        for rule in RULES
        if isinstance(rule.operation, torch._ops.OpOverload)
    }
    wanted = [each for each in samples.op_db if each.aten_name in ruled and each.name not in UNDEFINED]
    return {
        f"{each.name} {each.variant_test_name}".strip(): each
        for each in wanted
        if each.supports_dtype(torch.float32, "cpu")
    }


class Sampled(nn.Module):  # type: ignore[misc]
    """An operator as a function of the tensors of a sample."""

    def __init__(self, info: Any, sample: Any) -> None:
        super().__init__()
        self.operator = info.op
        self.leaves, self.spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        self.places = [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, torch.Tensor)]

    def tensors(self) -> list[torch.Tensor]:
        """Those of the sample."""
        return [self.leaves[place].detach() for place in self.places]

    def forward(self, *tensors: Any) -> Any:
        """What the operator computes of them."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        x, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.operator(x, *args, **kwargs)


def lowered(module: Sampled) -> bool:
    """Whether a sample is converted; then its graph has what PyTorch computes."""
    given = module.tensors()
    try:
        program = captured(module, [tuple(x.shape) for x in given], [x.dtype for x in given], RULES)
    except ConversionError:
        return False
    if not examine("sample", program, RULES).convertible:
        return False
    expected = [x for x in pytree.tree_leaves(module(*given)) if isinstance(x, torch.Tensor)]
    got = [x for x in program.run(*given) if isinstance(x, torch.Tensor)]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    order = orders(program, RULES)
    build_graph(program, RULES, order, "sample", precompile().result(), DeviceRef.CPU())
    return True


def test_samples_are_lowered_or_refused() -> None:
    """Nothing else happens to them, and most are lowered."""
    converted, wrong = set[str](), dict[str, str]()
    for name, info in operators().items():
        samples = (Sampled(info, sample) for sample in info.sample_inputs("cpu", torch.float32))
        usable = (each for each in samples if all(0 < x.numel() < 10_000 for x in each.tensors()))
        for module, _ in zip(usable, range(SAMPLES), strict=False):
            try:
                if lowered(module.eval()):
                    converted.add(name)
            except Exception as error:  # all operators are seen before it fails
                wrong[name] = f"{type(error).__name__}: {str(error)[:300]}"
    assert wrong == {}
    assert len(converted) >= 100
