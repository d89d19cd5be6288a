"""Symbolic sizes: PyTorch's expressions as MAX's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from max.graph import Dim
from sympy.core.relational import Relational  # type: ignore[import-untyped]
from torch.utils._sympy.functions import CleanDiv, FloorDiv

from yolo_max.convert.errors import ConversionError


def dim_of(size: Any, symbols: Mapping[str, str]) -> Dim:
    """A size of PyTorch's as one of MAX's.

    Args:
        size: An integer, or a symbolic one.
        symbols: The name of each symbol.

    Raises:
        ConversionError: MAX has no such expression.
    """
    if isinstance(size, torch.SymInt):
        return _dim(size.node.expr, symbols)
    return Dim(size)


def dims_of(sizes: Sequence[Any], symbols: Mapping[str, str]) -> tuple[Dim, ...]:
    """All sizes of a tensor."""
    return tuple(dim_of(size, symbols) for size in sizes)


def size_refusal(size: Any, symbols: Mapping[str, str]) -> str | None:
    """Why MAX has no such size, or None if it does."""
    try:
        dim_of(size, symbols)
    except ConversionError as error:
        return str(error)
    return None


def _dim(expression: Any, symbols: Mapping[str, str]) -> Dim:
    if isinstance(expression, sympy.Integer):
        return Dim(int(expression))
    if isinstance(expression, sympy.Symbol):
        if str(expression) not in symbols:
            raise ConversionError("its size depends on the values of its inputs")
        return Dim(symbols[str(expression)])
    parts = {sympy.Add: add, sympy.Mul: mul}
    for kind, operation in parts.items():
        if isinstance(expression, kind):
            return reduce(operation, [_dim(each, symbols) for each in expression.args])
    if isinstance(expression, FloorDiv | CleanDiv):
        dividend, divisor = (_dim(each, symbols) for each in expression.args)
        return dividend // divisor
    if isinstance(expression, sympy.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return reduce(mul, [_dim(expression.base, symbols)] * int(expression.exp))
    raise ConversionError(f"its size {expression} has no form in MAX")


def unmet(guards: Sequence[Any], symbols: Mapping[str, str], sizes: Mapping[str, int]) -> str | None:
    """The first guard that sizes do not fulfil, in the user's names, or None.

    Args:
        guards: Relations of symbols.
        symbols: The name of each symbol.
        sizes: The size of each name.
    """
    for guard in guards:
        known = {each: symbols[str(each)] for each in guard.free_symbols if str(each) in symbols}
        values = {each: sympy.Integer(sizes[name]) for each, name in known.items()}
        if guard.xreplace(values) == sympy.false:
            named = guard.xreplace({each: sympy.Symbol(name) for each, name in known.items()})
            return f"{named.lhs} {named.rel_op} {named.rhs}" if isinstance(named, Relational) else str(named)
    return None
