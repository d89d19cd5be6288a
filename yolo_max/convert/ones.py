"""Whether a graph that was captured with larger sizes also holds where a size is 1.

PyTorch asks whether sizes are 1 wherever something may be broadcast, and a captured graph takes it that they
are not. Nearly all graphs hold for 1 just as well; those of modules that do something else then, as
``squeeze()`` does, do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.utils import _pytree as pytree

from yolo_max.convert.dims import guard_of
from yolo_max.convert.guards import Expression, evaluate, unmet
from yolo_max.convert.program import Program

TOLERANCE = 1e-3
"""Of the largest output: the two compute the same in another order."""


def guards_against_ones(
    model: torch.nn.Module, program: Program, examples: Sequence[torch.Tensor], asked: Sequence[Any]
) -> tuple[Expression, ...]:
    """The guards ``size != 1`` without which a module would be computed wrongly.

    Args:
        model: The module.
        program: Captured from it, with all other guards.
        examples: Inputs that it was captured with.
        asked: The relations ``size != 1`` that PyTorch has noted.
    """
    captured = {
        name: example.shape[axis]
        for example, shape in zip(examples, program.inputs, strict=True)
        for axis, name in enumerate(shape)
        if isinstance(name, str)
    }
    guards: dict[Expression, None] = {("!=", name, 1): None for name in captured}
    for relation in asked:
        if (guard := guard_of(relation, program.symbols)) is not None:
            guards[guard] = None
    return tuple(each for each in guards if not _holds(model, program, examples, captured, each))


def _holds(
    model: torch.nn.Module,
    program: Program,
    examples: Sequence[torch.Tensor],
    captured: Mapping[str, int],
    guard: Expression,
) -> bool:
    """Whether the graph computes what the module does where a guard is not fulfilled and all others are."""
    for sizes in _candidates(captured):
        if unmet(program.guards, sizes) is None and not evaluate(guard, sizes):
            return _same(model, program, _inputs(program, examples, sizes), sizes)
    return False


def _candidates(captured: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Sizes below those captured: of one name, or of all of them alike."""
    for name, size in captured.items():
        yield from ({**captured, name: smaller} for smaller in range(1, size))
    yield from (dict.fromkeys(captured, size) for size in range(1, max(captured.values(), default=1)))


def _inputs(
    program: Program, examples: Sequence[torch.Tensor], sizes: Mapping[str, int]
) -> tuple[torch.Tensor, ...]:
    shapes = ([sizes.get(str(size), size) for size in shape] for shape in program.inputs)
    return tuple(
        torch.randn(shape) if each.is_floating_point() else torch.zeros(shape, dtype=each.dtype)
        for each, shape in zip(examples, shapes, strict=True)
    )


def _same(
    model: torch.nn.Module, program: Program, inputs: tuple[torch.Tensor, ...], sizes: Mapping[str, int]
) -> bool:
    """Whether module and graph compute the same, with all of the graph's tensors of the shapes they claim."""
    try:
        with torch.no_grad():
            wanted = pytree.tree_leaves(model(*inputs))
        values = program.values(*inputs)
    except Exception:  # whatever either raises: they do not take these sizes
        return False
    symbols = {symbol: sizes[name] for symbol, name in program.symbols.items()}
    for node, value in values.items():
        if node.op == "call_function" and _shapes(value, symbols) != _shapes(node.meta.get("val"), symbols):
            return False
    got = next(value for node, value in values.items() if node.op == "output")
    return len(got) == len(wanted) and all(map(_close, got, wanted))


def _shapes(value: Any, symbols: Mapping[str, int]) -> list[tuple[int, ...]]:
    parts = value if isinstance(value, tuple | list) else [value]
    tensors = [each for each in parts if isinstance(each, torch.Tensor)]
    return [tuple(_size(size, symbols) for size in each.shape) for each in tensors]


def _size(size: Any, symbols: Mapping[str, int]) -> int:
    if not isinstance(size, torch.SymInt):
        return int(size)
    expression = size.node.expr
    known = {
        each: sympy.Integer(symbols[str(each)]) for each in expression.free_symbols if str(each) in symbols
    }
    value = expression.xreplace(known)
    return int(value) if value.is_Integer else -1


def _close(got: Any, wanted: Any) -> bool:
    if not isinstance(wanted, torch.Tensor) or not isinstance(got, torch.Tensor):
        return bool(got == wanted)
    if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        return False
    if not wanted.is_floating_point():
        return bool(torch.equal(got, wanted))
    finite = wanted[wanted.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return bool(torch.allclose(got, wanted, rtol=0, atol=TOLERANCE * scale, equal_nan=True))
