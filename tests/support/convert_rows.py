"""One row for each operation that the converter lowers, in one network: compiled once, tested row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

MAPS, ROWS, INDICES = (2, 6, 8, 10), (3, 5, 16), (3, 4)
"""Shapes of the inputs: maps, rows, and indices below 4."""
aten = torch.ops.aten


class Inputs:
    """What a row computes from, and modules of its own.

    Attributes:
        maps: ``[2, 6, 8, 10]``, as a convolution gives them.
        rows: ``[3, 5, 16]``.
        indices: int64 ``[3, 4]``, below 4.
    """

    def __init__(self, maps: Any, rows: Any, indices: Any) -> None:
        self.maps, self.rows, self.indices = maps, rows, indices
        self.positive = rows.abs() + 0.1
        self.flags = rows > 0


Row = Callable[[Any, Inputs], Any]


def _of(module: Callable[[], nn.Module], on: str = "maps") -> tuple[Callable[[], nn.Module], Row]:
    return module, lambda own, given: own(getattr(given, on))


def _elementwise(function: Callable[[Any], Any]) -> tuple[None, Row]:
    """On maps and on rows."""
    return None, lambda _, given: (function(given.maps), function(given.rows))


def _positive(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.positive)


def _rows(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.rows)


def _maps(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.maps)


class Weights(nn.Module):  # type: ignore[misc]
    """A parameter by itself."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(shape))


def _attend(given: Inputs, **options: Any) -> Any:
    heads = given.rows.reshape(3, 5, 2, 8).transpose(1, 2)
    return functional.scaled_dot_product_attention(heads, heads.flip(-1), heads * 2, **options)


def _norm(features: int, kind: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    made = kind(features, eps=1e-3)
    assert isinstance(made.running_mean, torch.Tensor)
    made.running_mean.normal_()
    made.running_var.uniform_(0.5, 2)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


TABLE: Mapping[str, tuple[Callable[[], nn.Module] | None, Row]] = {
    # convolutions, and what is fused into them
    "conv2d": _of(lambda: nn.Conv2d(6, 20, 3, padding=1)),
    "conv2d, stride, dilation, no bias": _of(lambda: nn.Conv2d(6, 7, (3, 5), 2, (2, 1), (2, 1), bias=False)),
    "conv2d, same": _of(lambda: nn.Conv2d(6, 8, 4, padding="same")),  # more zeros behind than before
    "conv2d, valid": _of(lambda: nn.Conv2d(6, 8, 3, padding="valid")),
    "conv2d, groups": _of(lambda: nn.Conv2d(6, 12, 3, padding=1, groups=3)),
    "conv2d, depthwise": _of(lambda: nn.Conv2d(6, 6, 5, padding=2, groups=6)),
    "batch norm folded": _of(lambda: nn.Sequential(nn.Conv2d(6, 9, 1), _norm(9), nn.SiLU())),
    "batch norm alone": _of(lambda: nn.Sequential(_norm(6), nn.ReLU())),
    "batch norm of rows": _of(
        lambda: nn.Sequential(nn.Flatten(1), nn.Linear(80, 7), _norm(7, nn.BatchNorm1d)), "rows"
    ),
    "batch norm of 3 dimensions": _of(lambda: _norm(5, nn.BatchNorm1d), "rows"),
    "residual, then activation": (
        lambda: nn.Conv2d(6, 6, 3, padding=1),
        lambda own, g: (own(g.maps) + g.maps).relu(),
    ),
    "activation, then residual": (
        lambda: nn.Conv2d(6, 6, 3, padding=1),
        lambda own, g: g.maps + functional.gelu(own(g.maps), approximate="tanh"),
    ),
    "two convolutions added": (lambda: nn.Conv2d(6, 6, 1), lambda own, g: own(g.maps) + own(g.maps * 2)),
    "PReLU": _of(lambda: nn.Sequential(nn.Conv2d(6, 5, 1), nn.PReLU(5))),
    "PReLU of one slope": _of(lambda: nn.Sequential(nn.Conv2d(6, 5, 1), nn.PReLU())),
    "PReLU alone": (lambda: nn.PReLU(6), lambda own, g: (own(g.maps * 2), own(g.rows.reshape(8, 6, 5)))),
    "leaky ReLU": _of(lambda: nn.Sequential(nn.Conv2d(6, 5, 1), nn.LeakyReLU(0.2))),
    "conv transpose": _of(lambda: nn.Sequential(nn.ConvTranspose2d(6, 5, 4, 2, 1), _norm(5), nn.ReLU6())),
    "conv transpose of another size": _of(
        lambda: nn.Sequential(
            nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1),
            nn.ConvTranspose2d(4, 6, 3, (3, 2), 2, groups=2, dilation=2, output_padding=(2, 0)),
        )
    ),
    # pools and resizing
    "max pool": _of(lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
    "average pool": _of(lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "adaptive average pool": _of(lambda: nn.AdaptiveAvgPool2d((3, 4))),
    "nearest, doubled": _maps(lambda x: functional.interpolate(x, scale_factor=2.0) * 2),
    "nearest, to a size": _maps(lambda x: functional.interpolate(x, size=(5, 17))),
    "nearest exact": _maps(lambda x: functional.interpolate(x, size=(5, 17), mode="nearest-exact")),
    "bilinear": _maps(lambda x: functional.interpolate(x, scale_factor=1.5, mode="bilinear")),
    "bilinear, aligned": _maps(
        lambda x: functional.interpolate(x, size=(5, 17), mode="bilinear", align_corners=True)
    ),
    "pixel shuffle": _of(lambda: nn.Sequential(nn.Conv2d(6, 12, 1), nn.PixelShuffle(2))),
    # linear layers and products
    "linear": _of(lambda: nn.Linear(16, 11), "rows"),
    "linear, activation, residual": (lambda: nn.Linear(16, 16), lambda own, g: own(g.rows).tanh() + g.rows),
    "flatten, linear": _of(lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(120, 9))),
    "matmul": _rows(lambda x: x @ x.transpose(1, 2)),
    "matmul, broadcast": (lambda: Weights(16, 4), lambda own, g: g.rows @ own.value),
    "mm": _rows(lambda x: torch.mm(x[0], x[1].T)),
    "bmm": _rows(lambda x: torch.bmm(x, x.transpose(1, 2))),
    "addmm": _rows(lambda x: torch.addmm(x[0, 0, :5], x[0], x[1].T, beta=0.5, alpha=2)),
    "baddbmm": _rows(lambda x: torch.baddbmm(x[:, :, :5], x, x.transpose(1, 2))),
    "attention": (None, lambda _, g: _attend(g)),
    "attention, scale": (None, lambda _, g: _attend(g, scale=0.3)),
    "attention, causal": (None, lambda _, g: _attend(g, is_causal=True)),
    "attention, bool mask": (
        lambda: nn.Identity(),
        lambda _, g: _attend(g, attn_mask=torch.ones(5, 5, dtype=torch.bool).tril(1)),
    ),
    "attention, mask": (lambda: Weights(1, 2, 5, 5), lambda own, g: _attend(g, attn_mask=own.value)),
    "softmax": _rows(lambda x: x.softmax(-1)),
    "softmax of another dimension": _rows(lambda x: x.softmax(1)),
    "log softmax": _rows(lambda x: (x * 20).log_softmax(-1)),
    "layer norm": _of(lambda: nn.LayerNorm(16, eps=1e-3), "rows"),
    "layer norm of two dimensions": _of(lambda: nn.LayerNorm((5, 16)), "rows"),
    "layer norm of maps": (
        lambda: nn.LayerNorm(6),
        lambda own, g: own((g.maps + 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + g.maps,
    ),
    "group norm": _of(lambda: nn.GroupNorm(3, 6)),
    "embedding": (lambda: nn.Embedding(4, 9), lambda own, g: own(g.indices)),
    # elementwise
    "add, alpha": _elementwise(lambda x: torch.add(x, x * 3, alpha=0.5) + 1),
    "sub": _elementwise(lambda x: torch.sub(2 - x, x * 3, alpha=2) - 0.5),
    "mul": _elementwise(lambda x: x * x * 0.3),
    "div": _elementwise(lambda x: x / (x * x + 1) / 3),
    "div, rounded": _rows(
        lambda x: (
            torch.div(x * 9, 2, rounding_mode="floor"),
            torch.div(x * 9, x.abs() + 1, rounding_mode="trunc"),
        )
    ),
    "broadcast over maps": (
        lambda: Weights(6, 1, 1),
        lambda own, g: g.maps * own.value + g.maps.mean((2, 3), keepdim=True),
    ),
    "broadcast along the width": (lambda: Weights(10), lambda own, g: g.maps + own.value),
    "abs": _elementwise(torch.abs),
    "neg": _elementwise(torch.neg),
    "exp": _elementwise(torch.exp),
    "expm1": _elementwise(torch.expm1),
    "log": _positive(torch.log),
    "log1p": _positive(torch.log1p),
    "log2": _positive(torch.log2),
    "log10": _positive(torch.log10),
    "sqrt": _positive(torch.sqrt),
    "rsqrt": _positive(torch.rsqrt),
    "reciprocal": _positive(torch.reciprocal),
    "pow": _positive(lambda x: (x**2, x**3, x**0.5, x**-1, x**1.7)),
    "pow of tensors": _positive(lambda x: x**x),
    "sin": _elementwise(torch.sin),
    "cos": _elementwise(torch.cos),
    "erf": _elementwise(torch.erf),
    "tanh": _elementwise(torch.tanh),
    "sigmoid": _elementwise(torch.sigmoid),
    "relu": _elementwise(torch.relu),
    "relu6": _elementwise(lambda x: functional.relu6(x * 5)),
    "hardtanh": _elementwise(functional.hardtanh),
    "leaky relu": _elementwise(functional.leaky_relu),
    "elu": _elementwise(lambda x: functional.elu(x, 0.7)),
    "selu": _elementwise(functional.selu),
    "gelu": _elementwise(functional.gelu),
    "gelu, tanh": _elementwise(lambda x: functional.gelu(x, approximate="tanh")),
    "silu": _elementwise(functional.silu),
    "mish": _elementwise(functional.mish),
    "softplus": _elementwise(lambda x: functional.softplus(x * 9)),
    "hardsigmoid": _elementwise(functional.hardsigmoid),
    "hardswish": _elementwise(functional.hardswish),
    "floor": _elementwise(lambda x: torch.floor(x * 3)),
    "ceil": _elementwise(lambda x: torch.ceil(x * 3)),
    "round": _elementwise(lambda x: torch.round(x * 3)),
    "trunc": _elementwise(lambda x: torch.trunc(x * 3)),
    "maximum": _rows(lambda x: torch.maximum(x, -x)),
    "minimum": _rows(lambda x: torch.minimum(x, -x)),
    "clamp": _elementwise(lambda x: x.clamp(-0.5, 0.25)),
    "clamp by tensors": _rows(lambda x: torch.clamp(x, min=x[:1] * 0)),
    "where": (None, lambda _, g: torch.where(g.flags, g.rows, g.rows * 9)),
    "comparisons of tensors": _rows(
        lambda x: [f(x, x.flip(0)) for f in (torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge)]
    ),
    "comparisons with a number": _rows(lambda x: [x == 0, x != 0, x < 0, x <= 0, x > 0, x >= 0]),
    "logic": (
        None,
        lambda _, g: [
            torch.logical_and(g.flags, g.rows < 1),
            torch.logical_or(g.flags, g.rows < -1),
            torch.logical_xor(g.flags, g.rows < 1),
            torch.logical_not(g.flags),
        ],
    ),
    "cast": (
        None,
        lambda _, g: (
            g.flags.float(),
            g.indices.float(),
            g.indices.to(torch.int32),
            g.indices * 2 - g.indices + 1,
        ),
    ),
    # reductions
    "mean": _elementwise(lambda x: (x.mean(-1), x.mean((1, 2)), x.mean(1, keepdim=True))),
    "mean of a map": _maps(lambda x: (x.mean((2, 3)), x.mean((-1, -2), keepdim=True))),
    "mean of all": _rows(torch.mean),
    "sum": _rows(lambda x: (x.sum(1), x.sum((0, 2), keepdim=True), x.sum())),
    "amax": _rows(lambda x: (x.amax((1, 2)), x.amin(0, keepdim=True), x.max(), x.min())),
    "max with places": _rows(lambda x: (*x.max(1), *x.min(-1, keepdim=True))),
    "argmax": _rows(lambda x: (x.argmax(-1), x.argmin(0, keepdim=True), x.argmax())),
    "var": _rows(lambda x: (x.var(-1), x.var((0, 1), correction=0, keepdim=True), *torch.var_mean(x, 1))),
    "cumsum": _rows(lambda x: x.cumsum(1)),
    # shapes
    "view": _rows(lambda x: x.reshape(15, 4, 4)),
    "permute": _elementwise(lambda x: x.transpose(0, -1)),
    "unsqueeze, squeeze": _rows(
        lambda x: (x[:, None], x[:, :1].squeeze(1), x[:, :1].squeeze(), x[:, :1, :1].squeeze((1, 2)))
    ),
    "expand": _rows(lambda x: x[:, :1].expand(2, 3, 5, 16)),
    "repeat": _rows(lambda x: x.repeat(2, 1, 3)),
    "cat": _rows(lambda x: torch.cat([x, x[:, :2] * 2], 1)),
    "cat of channels": (
        lambda: nn.Conv2d(16, 4, 1),
        lambda own, g: own(torch.cat([g.maps, g.maps[:, :4], g.maps], 1)),
    ),
    "cat of maps along the height": _maps(lambda x: torch.cat([x, x * 2], 2)),
    "stack": _rows(lambda x: torch.stack([x, x * 2], 1)),
    "slice": _elementwise(lambda x: (x[:, 1:4], x[..., -3:], x[..., ::2], x[:, ::2])),
    "select": _rows(lambda x: (x[:, 2], x[-1], x[..., 0])),
    "split": _elementwise(
        lambda x: [part * 2 for part in (*x.split([2, x.shape[1] - 2], 1), *x.chunk(2, -1))]
    ),
    "unbind": _rows(lambda x: [part * 2 for part in x.unbind(1)]),
    "pad": _elementwise(lambda x: functional.pad(x, (1, 2, 0, 3), value=0.5)),
    "full": _rows(lambda x: (x + torch.full_like(x, 3), torch.zeros_like(x), torch.ones_like(x))),
    "index select": _rows(lambda x: torch.index_select(x, 1, torch.tensor([3, 0, 0]))),
    "index": _rows(lambda x: (x[:, torch.tensor([3, -1, 0])], x[torch.tensor([[0, 2]])])),
    "flip": _rows(lambda x: x.flip((0, 2))),
    "roll": _rows(lambda x: torch.roll(x, (1, -3), (1, 2))),
}


class Everything(nn.Module):  # type: ignore[misc]
    """All rows; gives a dictionary of what each of them gives."""

    def __init__(self, table: Mapping[str, tuple[Callable[[], nn.Module] | None, Row]] = TABLE) -> None:
        super().__init__()
        self.stem = nn.Conv2d(6, 6, 1, bias=False)  # so that maps are maps
        nn.init.dirac_(self.stem.weight)
        self.names, self.rows = list(table), [row for _, row in table.values()]
        makers = [make for make, _ in table.values()]
        self.own = nn.ModuleList([nn.Identity() if make is None else make() for make in makers])

    def forward(self, maps: Any, rows: Any, indices: Any) -> dict[str, Any]:
        """Computes every row."""
        given = Inputs(self.stem(maps), rows, indices)
        parts = zip(self.names, self.rows, self.own, strict=True)
        return {name: row(own, given) for name, row, own in parts}


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random inputs, with some equal and some zero elements among the rows."""
    random = torch.Generator().manual_seed(seed)
    maps, rows = (torch.randn(shape, generator=random) for shape in (MAPS, ROWS))
    rows[0, :2, :4] = 0
    return maps, rows, torch.randint(0, 4, INDICES, generator=random)
