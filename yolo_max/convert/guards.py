"""What the sizes of a network's inputs have to fulfil, as plain values: names, integers and tuples of those.

``("==", "width", ("*", 2, ("//", "width", 2)))`` says that a width is even. Needs no PyTorch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

Expression: TypeAlias = "int | str | tuple[Any, ...]"

_RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    **_RELATIONS,
    "+": operator.add,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "min": min,
    "max": max,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
}


def evaluate(expression: Expression, sizes: Mapping[str, int]) -> int:
    """The value of an expression; ``sizes`` are those of its names."""
    if isinstance(expression, str):
        return sizes[expression]
    if isinstance(expression, int):
        return expression
    name, *parts = expression
    return int(reduce(_OPERATIONS[name], (evaluate(part, sizes) for part in parts)))


def written(expression: Expression) -> str:
    """An expression as it is written in Python."""
    if not isinstance(expression, tuple):
        return str(expression)
    name, *parts = expression
    if name in {"min", "max"}:
        return f"{name}({', '.join(map(written, parts))})"
    binds = _binds(name)
    texts = [
        f"({written(part)})" if isinstance(part, tuple) and _binds(part[0]) <= binds else written(part)
        for part in parts
    ]
    return (name if binds == 3 else f" {name} ").join(texts)


def _binds(name: str) -> int:
    """How closely an operation binds its parts."""
    if name in {"and", "or"}:
        return 0
    return 1 if name in _RELATIONS else 2 if name == "+" else 4 if name in {"min", "max"} else 3


def unmet(guards: Sequence[Expression], sizes: Mapping[str, int]) -> str | None:
    """The first guard that sizes do not fulfil, or None."""
    return next((written(guard) for guard in guards if not evaluate(guard, sizes)), None)


def from_json(value: Any) -> Expression:
    """An expression that was written as JSON, where tuples become lists."""
    return (value[0], *map(from_json, value[1:])) if isinstance(value, list) else value
