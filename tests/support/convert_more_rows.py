"""More rows of `convert_rows`, in a network of their own: functions, places, forms from inside PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from convert_rows import Inputs, Row
from torch import nn
from torch.nn import functional

aten = torch.ops.aten
Table = Mapping[str, tuple[Callable[[], nn.Module] | None, Row]]


def _rows(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.rows)


def _below_one(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function((given.rows * 0.3).clamp(-0.99, 0.99))


def _maps(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.maps)


def _flags(function: Callable[[Any, Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.flags, given.rows < 1)


def _distinct(x: Any) -> Any:
    """The rows, without equal numbers."""
    return x + torch.arange(16) * 1e-2


def _indices(given: Inputs) -> Any:
    """Of [3, 5, 16], places along the last dimension, none of them twice."""
    return torch.cat([given.indices[:, :1, None], given.indices[:, :1, None] + 4], 2)


class Weights(nn.Module):  # type: ignore[misc]
    """Of a convolution and of a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.bias = nn.Parameter(torch.randn(7, 6, 3, 3)), nn.Parameter(torch.randn(7))
        self.scale, self.shift = nn.Parameter(torch.randn(16)), nn.Parameter(torch.randn(16))


TABLE: Table = {
    "tan": _below_one(torch.tan),
    "sinh": _rows(torch.sinh),
    "cosh": _rows(torch.cosh),
    "asin": _below_one(torch.asin),
    "acos": _below_one(torch.acos),
    "atan": _rows(lambda x: torch.atan(x * 3)),
    "atan2": _rows(lambda x: torch.atan2(x, x.flip(1))),
    "asinh": _rows(torch.asinh),
    "acosh": _rows(lambda x: torch.acosh(x.abs() + 1.1)),
    "atanh": _below_one(torch.atanh),
    "numbers": _rows(
        lambda x: (
            aten.add.Scalar(x, 2, 3),
            aten.sub.Scalar(x, 2),
            aten.mul.Scalar(x, 2.5),
            aten.div.Scalar(x, 3),
            aten.div.Scalar_mode(x, 0.3, rounding_mode="floor"),
            aten.pow.Scalar(1.5, x),
        )
    ),
    "sign": _rows(torch.sign),
    "fmod": _rows(lambda x: (torch.fmod(x, 0.37), torch.fmod(x, x.flip(2).abs() + 0.1))),
    "remainder": _rows(lambda x: (torch.remainder(x, -0.37), torch.remainder(x, x.flip(2).abs() + 0.1))),
    "remainder of integers": (None, lambda _, g: (g.indices % 3, torch.fmod(g.indices - 2, 2))),
    "isnan, isinf": _rows(lambda x: (torch.isnan(x / x.relu()), torch.isinf(1 / x.relu()))),
    "bits of flags": _flags(lambda a, b: (a & b, a | b, a ^ b, ~a, a & True, a | False, a ^ True)),
    "bits with a number": _flags(
        lambda a, _: (
            aten.bitwise_and.Scalar(a, True),
            aten.bitwise_or.Scalar(a, False),
            aten.bitwise_xor.Scalar(a, True),
        )
    ),
    "prod": _rows(lambda x: (x[..., :4].prod(2), x[0, 2:4, :3].prod())),
    "any": _flags(lambda a, _: (a.any(), a.any(1), a.any((0, 2), keepdim=True))),
    "sort": _rows(lambda x: (*_distinct(x).sort(-1), *_distinct(x).sort(0, descending=True))),
    "topk": _rows(lambda x: (*_distinct(x).topk(3), *_distinct(x).topk(2, 1, largest=False))),
    "gather": (
        None,
        lambda _, g: (torch.gather(g.rows, 2, _indices(g)), torch.gather(g.rows, 1, _indices(g) % 5)),
    ),
    "scatter": (
        None,
        lambda _, g: (
            torch.scatter(g.rows, 2, _indices(g), g.rows * 2),
            torch.scatter(g.rows, 2, _indices(g), 7.0),
            torch.scatter_add(g.rows, 2, _indices(g) % 3, g.rows),
            torch.scatter_reduce(g.rows, 2, _indices(g), g.rows * 3, "amax"),
        ),
    ),
    "slice scatter": _rows(
        lambda x: (
            torch.slice_scatter(x, x[:, 1:3] * 2, 1, 2, 4),
            torch.select_scatter(x, x[:, 0] * 2, 1, -1),
        )
    ),
    "diagonal": _rows(lambda x: (x.diagonal(1, 1, 2), x.diagonal(0, 0, 1))),
    "reflection": _rows(lambda x: functional.pad(x, (3, 2), mode="reflect")),
    "reflection of maps": _maps(lambda x: functional.pad(x, (1, 2, 0, 3), mode="reflect")),
    "reflection of volumes": _maps(lambda x: functional.pad(x[None], (1, 2, 0, 3, 1, 1), mode="reflect")),
    "replication of maps": _maps(lambda x: functional.pad(x, (1, 2, 0, 3), mode="replicate")),
    "replication of volumes": _maps(lambda x: functional.pad(x[None], (1, 2, 0, 3, 1, 1), mode="replicate")),
    "convolution": (
        Weights,
        lambda own, g: aten.convolution(
            g.maps, own.filters, own.bias, [2, 1], [1, 1], [1, 1], False, [0, 0], 1
        ),
    ),
    "forms of softmax": _rows(lambda x: (aten._softmax(x, -1, False), aten._log_softmax(x, -1, False))),
    "forms of pools": _maps(
        lambda x: (aten._adaptive_avg_pool2d(x, [3, 4]), functional.max_pool2d_with_indices(x, 2)[0])
    ),
    "forms of norms": (
        Weights,
        lambda own, g: (
            aten.native_layer_norm(g.rows, [16], own.scale, own.shift, 1e-3)[0],
            aten.native_group_norm(g.maps, own.scale[:6], own.shift[:6], 2, 6, 80, 3, 1e-3)[0],
        ),
    ),
    "dropout outside of training": _rows(lambda x: aten.native_dropout(x, 0.5, False)[0] * 2),
    "copies": _rows(lambda x: aten.clone(x) + aten.alias(x)),
}
