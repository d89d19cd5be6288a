"""What one row of an architecture table says about its block.

A row is ``[from, repeats, module, args]``, the arguments by position, as the block's constructor in
Ultralytics takes them. Here they get their names, their defaults and their limits. A value that is legal in
Ultralytics but not covered by the port (a grouped convolution, say) is collected, not raised, so that one
error can name all such layers; a value that makes no sense is raised at once.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_CHANNELS = 16_384
MAX_KERNEL = 31
MAX_STRIDE = 8
MAX_REPEATS = 128

_REQUIRED = object()

# Constructor arguments as a row gives them: after the input channels, before anything the parser appends.
_SIGNATURES: Mapping[str, Mapping[str, Any]] = {
    "Conv": {
        "c_out": _REQUIRED,
        "kernel": 1,
        "stride": 1,
        "padding": None,
        "groups": 1,
        "dilation": 1,
        "activation": True,
    },
    "Bottleneck": {
        "c_out": _REQUIRED,
        "shortcut": True,
        "groups": 1,
        "kernels": [3, 3],
        "expansion": 0.5,
    },
    "C2f": {"c_out": _REQUIRED, "shortcut": False, "groups": 1, "expansion": 0.5},
    "SPPF": {"c_out": _REQUIRED, "kernel": 5, "pools": None, "shortcut": False},
    "nn.Upsample": {"size": None, "scale": None, "mode": "nearest", "align_corners": None},
    "Concat": {"axis": 1},
    "Detect": {"nc": _REQUIRED},
}
# The one value of each argument that the port covers. (An SPPF whose row counts its pools is YOLO26's, which
# has no activation after its first convolution.)
_ONLY: Mapping[str, Any] = {
    "groups": 1,
    "dilation": 1,
    "activation": True,
    "kernels": [3, 3],
    "pools": None,
    "size": None,
    "mode": "nearest",
    "align_corners": None,
    "axis": 1,
}

KNOWN_MODULES = frozenset(_SIGNATURES)


@dataclass(frozen=True)
class Scale:
    """Compound scaling of a table: how deep, how wide, and where the width stops growing."""

    depth: float
    width: float
    max_channels: float

    def channels(self, c_out: int) -> int:
        """Output channels of a block whose row says ``c_out``: scaled, then rounded up to a multiple of 8."""
        return math.ceil(min(c_out, self.max_channels) * self.width / 8) * 8

    def repeats(self, n: int) -> int:
        """Repeats of a block whose row says ``n``."""
        return max(round(n * self.depth), 1) if n > 1 else n


@dataclass(frozen=True)
class Row:
    """One row of a module among `KNOWN_MODULES`, and what its meaning depends on (0 channels: unknown)."""

    index: int
    module: str
    repeats: int
    raw: Sequence[Any]
    c_in: tuple[int, ...]
    nc: int
    reg_max: int
    scale: Scale

    def error(self, problem: str) -> WeightsError:
        """A WeightsError that says where in the table the problem is."""
        return WeightsError(f"layer {self.index} ({self.module}) of the architecture table {problem}.")

    def integer(self, value: Any, what: str, low: int, high: int) -> int:
        """``value`` as an int, or a WeightsError when it is none or lies outside [low, high]."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"has {what} {shorten(value)}, which is not a whole number from {low} to {high}")
        return value


@dataclass(frozen=True)
class Resolved:
    """What a row comes to; the fields are those of `yolo_max.model.architecture.Layer`."""

    c_out: int
    args: dict[str, int]
    copies: int
    unported: tuple[str, ...]


def resolve(row: Row) -> Resolved:
    """Names, checks and scales the arguments of one row.

    Raises:
        WeightsError: An argument is missing, of the wrong type, or outside the limits above.
    """
    bound = _bind(row)
    unported = [
        f"{name}={shorten(bound[name])}" for name in _ONLY if name in bound and bound[name] != _ONLY[name]
    ]
    c_out = _output_channels(row, bound)
    copies, args = row.repeats, {}
    match row.module:
        case "Conv":
            square = not isinstance(bound["kernel"], list | tuple)
            kernel = row.integer(bound["kernel"], "kernel", 1, MAX_KERNEL) if square else 0
            args = {"kernel": kernel, "stride": row.integer(bound["stride"], "stride", 1, MAX_STRIDE)}
            if kernel % 2 == 0:
                unported.append(f"kernel={shorten(bound['kernel'])}")
            elif bound["padding"] not in (None, kernel // 2):
                unported.append(f"padding={shorten(bound['padding'])}")
        case "Bottleneck":
            shortcut = bool(bound["shortcut"]) and row.c_in[0] == c_out
            args = {"hidden": _hidden(row, c_out, bound["expansion"]), "shortcut": shortcut}
        case "C2f":
            args = {
                "bottlenecks": row.repeats,
                "hidden": _hidden(row, c_out, bound["expansion"]),
                "shortcut": bool(bound["shortcut"]),
            }
            copies = 1
        case "SPPF":
            kernel = row.integer(bound["kernel"], "kernel", 1, MAX_KERNEL)
            args = {"kernel": kernel, "hidden": row.c_in[0] // 2}
            if kernel % 2 == 0:
                unported.append(f"kernel={kernel}")
            if row.c_in[0] == 1:
                raise row.error("halves a single channel")
        case "nn.Upsample":
            args = {"scale": 2}
            if bound["scale"] != 2:
                unported.append(f"scale={shorten(bound['scale'])}")
        case "Detect":
            if row.integer(bound["nc"], "class count", 1, MAX_CHANNELS) != row.nc:
                raise row.error(f"is for {bound['nc']} classes, but the table is for {row.nc}")
            args = {
                "nc": row.nc,
                "reg_max": row.reg_max,
                "box_hidden": max(16, row.c_in[0] // 4, row.reg_max * 4),
                "class_hidden": max(row.c_in[0], min(row.nc, 100)),
            }
    if copies > 1 and (row.module in ("Concat", "Detect") or (row.c_in[0] and row.c_in[0] != c_out)):
        raise row.error(f"is repeated {copies} times, but its output cannot be its own input")
    return Resolved(c_out, args, copies, tuple(unported))


def convolutions(
    module: str, args: Mapping[str, int], c_in: tuple[int, ...], c_out: int
) -> Iterator[tuple[str, int, int, int]]:
    """The convolutions inside one block, as (name, kernel, input channels, output channels)."""
    match module:
        case "Conv":
            yield "conv", args["kernel"], c_in[0], c_out
        case "Bottleneck":
            yield "cv1.conv", 3, c_in[0], args["hidden"]
            yield "cv2.conv", 3, args["hidden"], c_out
        case "C2f":
            hidden, n = args["hidden"], args["bottlenecks"]
            yield "cv1.conv", 1, c_in[0], 2 * hidden
            yield "cv2.conv", 1, (2 + n) * hidden, c_out
            for i in range(n):
                yield f"m.{i}.cv1.conv", 3, hidden, hidden
                yield f"m.{i}.cv2.conv", 3, hidden, hidden
        case "SPPF":
            yield "cv1.conv", 1, c_in[0], args["hidden"]
            yield "cv2.conv", 1, 4 * args["hidden"], c_out
        case "Detect":
            box = ("cv2", args["box_hidden"], 4 * args["reg_max"])
            classes = ("cv3", args["class_hidden"], args["nc"])
            for branch, hidden, last in (box, classes):
                for level, c_level in enumerate(c_in):
                    yield f"{branch}.{level}.0.conv", 3, c_level, hidden
                    yield f"{branch}.{level}.1.conv", 3, hidden, hidden
                    yield f"{branch}.{level}.2", 1, hidden, last


def _bind(row: Row) -> dict[str, Any]:
    """The row's arguments by name: literals in strings evaluated, ``nc`` resolved, defaults filled in."""
    signature = _SIGNATURES[row.module]
    if len(row.raw) > len(signature):
        raise row.error(f"has {len(row.raw)} arguments, where at most {len(signature)} are known")
    bound = dict(signature)
    bound.update(zip(signature, (row.nc if a == "nc" else _literal(a) for a in row.raw), strict=False))
    for name, value in bound.items():
        if value is _REQUIRED:
            raise row.error(f"lacks its argument {name!r}")
    return bound


def _literal(value: Any) -> Any:
    """Tables may write literals as strings, "None" above all; any other string is itself."""
    if not isinstance(value, str) or len(value) > 32:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _output_channels(row: Row, bound: Mapping[str, Any]) -> int:
    if "c_out" in bound:
        c_out = row.scale.channels(row.integer(bound["c_out"], "output channels", 1, MAX_CHANNELS))
        return row.integer(c_out, "scaled output channels", 1, MAX_CHANNELS)
    if row.module == "Concat":
        total = sum(row.c_in) if all(row.c_in) else 0
        return row.integer(total, "concatenated channels", 0, MAX_CHANNELS)
    return 4 * row.reg_max + row.nc if row.module == "Detect" else row.c_in[0]


def _hidden(row: Row, c_out: int, expansion: Any) -> int:
    """Channels inside a bottleneck: ``c_out`` times the expansion ratio, rounded down."""
    if isinstance(expansion, bool) or not isinstance(expansion, int | float) or not 0 < expansion <= 16:
        raise row.error(f"has expansion {shorten(expansion)}, which is not a number above 0, up to 16")
    return row.integer(int(c_out * expansion), "hidden channels", 1, MAX_CHANNELS)
