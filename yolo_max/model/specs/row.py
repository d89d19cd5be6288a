"""One row of an architecture table and its arguments.

A row is ``[from, repeats, module, args]``, with the positional arguments of the block's constructor in
Ultralytics. Here they get names, defaults and limits.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_CHANNELS = 16_384
MAX_KERNEL = 31
MAX_STRIDE = 8
MAX_REPEATS = 128

_REQUIRED = object()
_ANY = object()


class Argument(NamedTuple):
    """An argument of a block's constructor in Ultralytics.

    Attributes:
        name: Its name here.
        default: Its value if a row leaves it out; required if there is no default.
        only: The only value that is ported, if there is just one.
    """

    name: str
    default: Any = _REQUIRED
    only: Any = _ANY

    def covers(self, value: Any) -> bool:
        """Whether this value is ported."""
        return self.only is _ANY or bool(value == self.only)


@dataclass(frozen=True)
class Scale:
    """Compound scaling of a table: factors for depth and width, the maximum width, and the size's name."""

    depth: float
    width: float
    max_channels: float
    size: str = ""

    def channels(self, c_out: int) -> int:
        """Output channels of a block whose row says ``c_out``: scaled, then rounded up to a multiple of 8."""
        return math.ceil(min(c_out, self.max_channels) * self.width / 8) * 8

    def repeats(self, n: int) -> int:
        """Repeats of a block whose row says ``n``."""
        return max(round(n * self.depth), 1) if n > 1 else n


@dataclass(frozen=True)
class Row:
    """One row of a ported block, and its context.

    Attributes:
        index: Position in the table.
        module: The block's name in the table.
        repeats: Number of repeats, scaled.
        raw: Its unchecked arguments.
        c_in: Channels of each input; 0 if unknown.
        scale: The table's.
        table: The whole unchecked table.
        nc: Number of classes.
        before: The modules of the rows before it.
        maps: The channels of each map of each input; empty for an input that is a single map.
    """

    index: int
    module: str
    repeats: int
    raw: Sequence[Any]
    c_in: tuple[int, ...]
    scale: Scale
    table: Mapping[str, Any]
    nc: int
    before: Sequence[str] = ()
    maps: Sequence[tuple[int, ...]] = ()

    def error(self, problem: str) -> WeightsError:
        """A WeightsError that says where in the table the problem is."""
        return WeightsError(f"layer {self.index} ({self.module}) of the architecture table {problem}.")

    def integer(self, value: Any, what: str, low: int, high: int) -> int:
        """``value`` as an int; a WeightsError if it is not a whole number in [low, high]."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"has {what} {shorten(value)}, which is not a whole number from {low} to {high}")
        return value

    def arguments(self, signature: Sequence[Argument]) -> dict[str, Any]:
        """The arguments by name: literals and names of the table in strings resolved, defaults filled in."""
        if len(self.raw) > len(signature):
            raise self.error(f"has {len(self.raw)} arguments, but takes at most {len(signature)}")
        given = {argument.name: argument.default for argument in signature}
        values = (self._value(value) for value in self.raw)
        given.update(zip(given, values, strict=False))
        for name, value in given.items():
            if value is _REQUIRED:
                raise self.error(f"lacks its argument {name!r}")
        return given

    def _value(self, value: Any) -> Any:
        """``nc`` and ``kpt_shape`` stand for the table's; strings for literals, mostly "None"."""
        if value == "nc":
            return self.nc
        return self.table.get("kpt_shape") if value == "kpt_shape" else _literal(value)

    def output_channels(self, c_out: Any) -> int:
        """Output channels of a block whose row says ``c_out``, scaled."""
        scaled = self.scale.channels(self.integer(c_out, "output channels", 1, MAX_CHANNELS))
        return self.integer(scaled, "scaled output channels", 1, MAX_CHANNELS)

    def hidden_channels(self, c_out: int, expansion: Any) -> int:
        """Channels inside a bottleneck: ``c_out`` times the expansion ratio, rounded down."""
        if isinstance(expansion, bool) or not isinstance(expansion, int | float) or not 0 < expansion <= 16:
            raise self.error(f"has expansion {shorten(expansion)}, which is not a number above 0, up to 16")
        return self.integer(int(c_out * expansion), "hidden channels", 1, MAX_CHANNELS)


def whole(value: Any, what: str, low: int, high: int) -> int:
    """``value``, checked to be an int in [low, high]; ``what`` names it in the error."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WeightsError(f"the architecture table's {what} is {shorten(value)}, not from {low} to {high}.")
    return value


def _literal(value: Any) -> Any:
    """The literal that a string is; anything else is returned unchanged."""
    if not isinstance(value, str) or len(value) > 32:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
