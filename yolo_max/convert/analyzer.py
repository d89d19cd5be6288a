"""The analyzer: how much of a module is converted, and what is in the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import fx

from yolo_max.convert.bf16 import mark_bf16
from yolo_max.convert.capture import capture, draft
from yolo_max.convert.dtypes import Numbers, in_dtype
from yolo_max.convert.errors import ConversionError, NotCaptured
from yolo_max.convert.flops import flops
from yolo_max.convert.fusion import fuse_all
from yolo_max.convert.layout import orders, transposed
from yolo_max.convert.program import Program, is_size, module_of, name_of, tensor_of
from yolo_max.convert.report import Layer, Report
from yolo_max.convert.rule import Rule, Rules, precision_of
from yolo_max.convert.rules import builtin_rules
from yolo_max.convert.signature import Shape
from yolo_max.convert.simplify import simplify
from yolo_max.kernels.precision import Precision

aten = torch.ops.aten
_FRAME = re.compile(r'File "(.+?)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent)


def analyze(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    *,
    input_dtypes: Sequence[torch.dtype] | None = None,
    rules: Iterable[Rule] = (),
    dtype: str = "float32",
) -> Report:
    """Says how much of a module can be converted; never raises because of the module.

    Args:
        model: In evaluation mode, on the CPU.
        input_shapes: Of each positional argument: integers, and names for symbolic sizes.
        input_dtypes: Likewise; by default those of `yolo_max.convert.PyTorchToMAXConverter`.
        rules: More rules.
        dtype: What it is to be converted in; see there.

    Returns:
        Coverage, layers, fused groups and blockers. A module that PyTorch cannot capture has an
        ``error``, and the layers that it computes one example with, if PyTorch can follow that.
    """
    numbers = Numbers.named(dtype)
    all_rules = builtin_rules(dtype=numbers.dtype).extended(rules)
    name = type(model).__name__
    input_dtypes = input_dtypes or [numbers.dtype] * len(input_shapes)
    try:
        model = in_dtype(model, numbers.dtype)
        program = captured(model, input_shapes, input_dtypes, all_rules)
    except NotCaptured as error:
        drafted = draft(model, input_shapes, input_dtypes, _whole(all_rules))
        return Report(name, str(error), _layers(drafted, all_rules) if drafted else (), (), None)
    except ConversionError as error:
        return Report(name, str(error), (), (), None)
    return examine(name, program, all_rules, numbers.precision)


def captured(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    input_dtypes: Sequence[torch.dtype] | None,
    rules: Rules,
) -> Program:
    """A module as a program of the rules' operations, with its no-ops out and its constants folded.

    Raises:
        ConversionError: See `yolo_max.convert.capture.capture`.
    """
    program = capture(model, input_shapes, input_dtypes, _whole(rules))
    simplify(program)
    return program


def _whole(rules: Rules) -> list[Any]:
    return [rule.operation for rule in rules if isinstance(rule.operation, torch._ops.OpOverload)]


def examine(name: str, program: Program, rules: Rules, precision: Precision = Precision.F32) -> Report:
    """The report about a program; one that is convertible is fused on the way, and its precision marked."""
    layers = _layers(program, rules)
    if any(each.reason for each in layers):
        return Report(name, "", layers, (), None)
    fuse_all(program)
    groups = [tuple(node.meta["fused"]) for node in program.calls() if len(node.meta.get("fused", ())) > 1]
    order = orders(program, rules)
    if precision is Precision.BF16:
        mark_bf16(program, rules, order)
        layers = _with_bf16(layers, program)
    moved = transposed(program, order)
    return Report(name, "", layers, tuple(groups), len(moved), precision is Precision.BF16)


def _layers(program: Program, rules: Rules) -> tuple[Layer, ...]:
    """What computes tensors, and what makes a number of one, on which the rest then depends."""
    read: set[str] = set()
    nodes = [
        node
        for node in program.graph.nodes
        if node.op == "call_function"
        and (not is_size(node) or node.target is aten._local_scalar_dense.default)
        and not _is_bookkeeping(node)
    ]
    for number, node in enumerate(nodes):
        node.meta["layers"] = [number]
    return tuple(_layer(node, program, rules, read) for node in nodes)


def _with_bf16(layers: Sequence[Layer], program: Program) -> tuple[Layer, ...]:
    """The layers, with what is computed in bfloat16."""
    marked = {
        number
        for node in program.calls()
        if precision_of(node) is Precision.BF16
        for number in node.meta.get("layers", ())
    }
    return tuple(replace(layer, bf16=number in marked) for number, layer in enumerate(layers))


def _is_bookkeeping(node: fx.Node) -> bool:
    """Whether a node only takes one of several results."""
    return not isinstance(node.target, torch._ops.OpOverload) and name_of(node) == "getitem"


def _layer(node: fx.Node, program: Program, rules: Rules, read: set[str]) -> Layer:
    constants = [each for each in node.all_input_nodes if each.op == "get_attr" and each.target not in read]
    read.update(str(each.target) for each in constants)
    reason = rules.refusal(node, program) or ""
    rule = rules.get(node.target)
    return Layer(
        name_of(node),
        module_of(node),
        source_of(node),
        _shape(node, program),
        sum(program.constants[str(each.target)].numel() for each in constants),
        flops(node),
        "" if reason or rule is None else rule.on,
        reason,
    )


def _shape(node: fx.Node, program: Program) -> str:
    value = tensor_of(node)
    if value is None:
        return ""
    text = " x ".join(str(size) for size in value.shape)
    for symbol, name in program.symbols.items():
        text = re.sub(rf"\b{re.escape(symbol)}\b", name, text)
    return text


def source_of(node: fx.Node) -> str:
    """File and line of the innermost call that is not PyTorch's own, or an empty string."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [(file, line) for file, line in frames if not file.startswith(_TORCH)]
    return ":".join(own[-1]) if own else ""
