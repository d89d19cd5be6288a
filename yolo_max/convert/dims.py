"""Symbolic sizes: PyTorch's expressions as MAX's, and as guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from max.graph import Dim
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Max, Min, Mod, PythonMod

from yolo_max.convert.errors import ConversionError
from yolo_max.convert.guards import Expression

_SIGNS: Mapping[Any, str] = {
    sympy.Add: "+",
    sympy.Mul: "*",
    FloorDiv: "//",
    CleanDiv: "//",
    Mod: "%",
    PythonMod: "%",
    sympy.Min: "min",
    sympy.Max: "max",
    Min: "min",
    Max: "max",
    sympy.Eq: "==",
    sympy.Ne: "!=",
    sympy.Lt: "<",
    sympy.Le: "<=",
    sympy.Gt: ">",
    sympy.Ge: ">=",
    sympy.And: "and",
    sympy.Or: "or",
}


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


def guard_of(relation: Any, symbols: Mapping[str, str]) -> Expression | None:
    """A relation of PyTorch's symbols as a guard in the user's names.

    Args:
        relation: The relation, or an integer expression in it.
        symbols: The name of each symbol.

    Returns:
        None for a relation of other symbols, which no size of an input decides.

    Raises:
        ConversionError: It is of a kind that is not known.
    """
    if any(str(each) not in symbols for each in relation.free_symbols):
        return None
    return _plain(relation, symbols)


def _plain(expression: Any, symbols: Mapping[str, str]) -> Expression:
    if isinstance(expression, sympy.Integer):
        return int(expression)
    if isinstance(expression, sympy.Symbol):
        return symbols[str(expression)]
    if isinstance(expression, sympy.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return ("*", *[_plain(expression.base, symbols)] * int(expression.exp))
    for kind, name in _SIGNS.items():
        if isinstance(expression, kind):
            return (name, *(_plain(each, symbols) for each in expression.args))
    raise ConversionError(f"its sizes have to fulfil {expression}, which cannot be checked.")
