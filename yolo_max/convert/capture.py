"""From a PyTorch module to a graph of operations: ``torch.export``, and what it says when it cannot."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch import fx
from torch.export import Dim, ExportedProgram, draft_export

from yolo_max.convert.dims import guard_of
from yolo_max.convert.einsum import einsum
from yolo_max.convert.errors import ConversionError, NotCaptured
from yolo_max.convert.ones import guards_against_ones
from yolo_max.convert.program import Program, tensor_of
from yolo_max.convert.signature import Shape
from yolo_max.convert.silence import silence

BATCH, STEP = 2, 32
"""Sizes that stand for symbolic ones while a module is captured: of first dimensions, and of others the next
multiple, from 64 on."""


def capture(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    input_dtypes: Sequence[torch.dtype] | None,
    whole: Collection[Any],
) -> Program:
    """Captures a module.

    Args:
        model: In evaluation mode, on the CPU.
        input_shapes: Of each positional argument.
        input_dtypes: Likewise; float32 by default.
        whole: Operations to keep; others become core ATen ones.

    Raises:
        ConversionError: The module is in training mode or not on the CPU, an input's shape makes no sense or
            does not fit, or what the module does depends on the values of its inputs.
    """
    shapes, examples, dims = _prepared(model, input_shapes, input_dtypes)
    model = _own_copy(model)
    exported = _export(model, examples, dims, whole)
    program = _program(exported.module(check_guards=False), exported, shapes)
    asked, relations = _relations(program)
    guards = (guard_of(each, program.symbols) for each in relations)
    program.guards = tuple(each for each in guards if each is not None)
    program.guards += guards_against_ones(model, program, examples, asked)
    program.tidy()
    return program


def draft(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    input_dtypes: Sequence[torch.dtype] | None,
    whole: Collection[Any],
) -> Program | None:
    """What a module does that cannot be captured, with one example: for a report, not to be run.

    Args:
        model: See :func:`capture`, as for the others.
        input_shapes: Likewise.
        input_dtypes: Likewise.
        whole: Likewise.

    Returns:
        None if it cannot be followed that far either.
    """
    shapes, examples, dims = _prepared(model, input_shapes, input_dtypes)
    try:
        with silence(), torch.no_grad():
            symbolic = _by_parameter(model, dims)
            exported = draft_export(_own_copy(model), examples, dynamic_shapes=symbolic, strict=False)
            exported = exported.run_decompositions(_decompositions(whole))
            return _program(exported.module(check_guards=False), exported, shapes)
    except Exception:  # the module's own, and whatever PyTorch does not expect
        return None


def _prepared(
    model: torch.nn.Module, input_shapes: Sequence[Shape], input_dtypes: Sequence[torch.dtype] | None
) -> tuple[tuple[Shape, ...], tuple[torch.Tensor, ...], tuple[dict[int, Any], ...]]:
    """The shapes, an example of each input, and its symbolic dimensions."""
    require_ready(model)
    each: Any
    for each in input_shapes:
        if isinstance(each, int | str):
            raise ConversionError(
                f"input_shapes has a shape for each input, and {each!r} is none; use [{tuple(input_shapes)}]."
            )
    shapes = tuple(tuple(shape) for shape in input_shapes)
    dtypes = tuple(input_dtypes or [torch.float32] * len(shapes))
    if len(dtypes) != len(shapes):
        raise ConversionError(
            f"there are {len(shapes)} input shapes and {len(dtypes)} dtypes; give one for each."
        )
    return shapes, *_examples(shapes, dtypes)


def require_ready(model: torch.nn.Module) -> None:
    """Refuses a module that is not as it would be for inference.

    Raises:
        ConversionError: It is no module, a part of it is in training mode, or a tensor is not on the CPU.
    """
    if not isinstance(model, torch.nn.Module):
        found = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise ConversionError(f"a torch.nn.Module is converted, and this is {found}; make a module of it.")
    for name, each in model.named_modules():
        if each.training:
            place = f"its module {name}" if name else "it"
            raise ConversionError(
                f"{type(model).__name__} cannot be converted, as {place} is in training mode; "
                "call model.eval() first."
            )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.device.type != "cpu":
            raise ConversionError(
                f"{name} is on {tensor.device}, and only modules on the CPU are captured; use model.cpu()."
            )


def _own_copy(model: torch.nn.Module) -> torch.nn.Module:
    """The module with the same tensors, so that what it keeps of a call, as YOLO's heads do, stays as it is.

    One that cannot be copied is captured itself.
    """
    same = {id(each): each for each in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, same)
    except Exception:  # whatever an attribute raises
        return model


def _examples(
    shapes: Sequence[Shape], dtypes: Sequence[torch.dtype]
) -> tuple[tuple[torch.Tensor, ...], tuple[dict[int, Any], ...]]:
    """An example of each input, and its symbolic dimensions."""
    sizes: dict[str, int] = {}
    examples = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        for axis, size in enumerate(shape):
            if isinstance(size, str) and size.isidentifier():
                other = 64 + STEP * sum(each != BATCH for each in sizes.values())
                sizes.setdefault(size, BATCH if axis == 0 else other)
            elif isinstance(size, str) or size < 0:
                raise ConversionError(
                    f"{size!r} in the input shape {shape} is no size; use integers, "
                    "and names for symbolic sizes."
                )
        static = [sizes[size] if isinstance(size, str) else size for size in shape]
        random = torch.randn if dtype.is_floating_point else torch.zeros
        examples.append(random(static, dtype=dtype))
    symbolic = tuple(
        {axis: Dim.DYNAMIC if isinstance(size, str) else Dim.STATIC for axis, size in enumerate(shape)}
        for shape in shapes
    )
    return tuple(examples), symbolic


def _by_parameter(model: torch.nn.Module, dims: tuple[dict[int, Any], ...]) -> tuple[Any, ...]:
    """The dimensions as PyTorch reads them: those of ``*args``, if there are any, are one tuple."""
    kinds = [each.kind for each in inspect.signature(model.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return dims
    before = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*dims[:before], dims[before:]) if dims[before:] else dims


def _export(
    model: torch.nn.Module,
    examples: tuple[torch.Tensor, ...],
    dims: tuple[dict[int, Any], ...],
    whole: Collection[Any],
) -> ExportedProgram:
    """Non-strict, which follows Python as it runs; then strict, which reads its bytecode."""
    table = _decompositions(whole)
    first: Exception | None = None
    for strict in (False, True):
        try:
            with silence(), torch.no_grad():
                symbolic = _by_parameter(model, dims)
                exported = torch.export.export(model, examples, dynamic_shapes=symbolic, strict=strict)
                return exported.run_decompositions(table)
        except Exception as error:  # whatever the module raises, among others
            first = first or error
    assert first is not None
    raise NotCaptured(f"PyTorch could not capture {type(model).__name__}: {_sentence(first)}") from first


def _decompositions(whole: Collection[Any]) -> dict[Any, Any]:
    table: dict[Any, Any] = torch.export.default_decompositions()
    for operation in whole:
        table.pop(operation, None)
    table[torch.ops.aten.einsum.default] = einsum
    return table


def _sentence(error: Exception) -> str:
    """What went wrong, in one sentence, out of pages."""
    text = str(error)
    if "data-dependent" in text or "data dependent" in text:
        return "what it does depends on the values of its inputs, which a graph cannot; use torch.where."
    if "Constraints violated" in text:
        lines = [line.strip(" -") for line in text.splitlines()[1:] if line.strip(" -")]
        return f"a symbolic size has to be static or to fit ({lines[0] if lines else text}); use an integer."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"


def _program(captured: fx.GraphModule, exported: ExportedProgram, shapes: tuple[Shape, ...]) -> Program:
    graph = captured.graph
    graph.owning_module = None  # the program has the constants
    constants = {}
    for node in list(graph.nodes):
        if node.op == "get_attr":
            constants[str(node.target)] = _attribute(captured, str(node.target))
        elif node.op == "call_module":  # the check of guards
            graph.erase_node(node)
        elif node.op == "output":
            flat = node.args[0] if isinstance(node.args[0], tuple | list) else (node.args[0],)
            if any(isinstance(each, fx.Node) and tensor_of(each) is None for each in flat):
                raise ConversionError(
                    "the module returns a size that is not static; return tensors, or make it static."
                )
            node.args = (tuple(flat),)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    symbols: dict[str, str] = {}
    for node, shape in zip(inputs, shapes, strict=True):
        for size, name in zip(node.meta["val"].shape, shape, strict=True):
            if isinstance(size, torch.SymInt) and symbols.setdefault(str(size), str(name)) != name:
                raise ConversionError(
                    f"the sizes {symbols[str(size)]} and {name} have to be equal; give them one name."
                )
    call = exported.call_spec
    return Program(graph, constants, shapes, call.in_spec, call.out_spec, symbols)


def _relations(program: Program) -> tuple[list[Any], list[Any]]:
    """What PyTorch has found sizes to have to fulfil: that they are not 1, and the rest."""
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    environments = [getattr(node.meta["val"].fake_mode, "shape_env", None) for node in inputs]
    found = [guard.expr for each in environments[:1] if each is not None for guard in each.guards]
    asked = [each for each in found if isinstance(each, sympy.Ne) and each.args[1] == 1]
    return asked, [each for each in found if each not in asked]


def _attribute(module: Any, path: str) -> torch.Tensor:
    for name in path.split("."):
        module = getattr(module, name)
    assert isinstance(module, torch.Tensor)
    return module.detach()
