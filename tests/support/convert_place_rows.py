"""More rows of `convert_rows`, in a network of their own: places, distances, constants, lines, volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from convert_more_rows import Table
from convert_rows import Inputs, Row
from torch import nn
from torch.nn import functional

aten = torch.ops.aten


def _rows(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.rows)


def _maps(function: Callable[[Any], Any]) -> tuple[None, Row]:
    return None, lambda _, given: function(given.maps)


def _sample(mode: str, padding: str, aligned: bool) -> tuple[None, Row]:
    """At points of which some lie beside the map, twice its size away."""

    def row(_: Any, given: Inputs) -> Any:
        grid = (given.rows[:2, :, :12] * 1.2).reshape(2, 5, 6, 2)
        return functional.grid_sample(given.maps, grid, mode, padding, aligned)

    return None, row


def _attended(given: Inputs, bias: Any = 0) -> Any:
    """Attention of two heads, as it is written by hand."""
    heads = given.rows.reshape(3, 5, 2, 8).transpose(1, 2)
    return ((heads * 0.3) @ heads.flip(-1).mT + bias).softmax(-1) @ (heads * 2)


def _lines(module: Callable[[], nn.Module]) -> tuple[Callable[[], nn.Module], Row]:
    """Of ``[3, 5, 16]``."""
    return module, lambda own, given: own(given.rows)


def _volumes(module: Callable[[], nn.Module]) -> tuple[Callable[[], nn.Module], Row]:
    """Of ``[2, 3, 4, 5, 8]``."""
    return module, lambda own, given: own(given.maps.reshape(2, 3, 4, 5, 8))


class Block(nn.Module):  # type: ignore[misc]
    """A residual block of convolutions of lines or volumes."""

    def __init__(self, channels: int, conv: Any, norm: Any) -> None:
        super().__init__()
        self.first, self.norm = conv(channels, 6, 3, padding=1, bias=False), norm(6, eps=1e-2)
        self.second = conv(6, channels, 1)
        self.norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Any) -> Any:
        """As large, then with the channels of both."""
        y = self.second(functional.silu(self.norm(self.first(x))))
        return torch.cat([functional.relu(x + y), y], 1)


class Bag(nn.Module):  # type: ignore[misc]
    """Of five embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.shares = nn.Parameter(torch.randn(5, 7)), nn.Parameter(torch.rand(12))

    def forward(self, indices: Any) -> Any:
        """Of rows, by offsets, with factors, without one of the indices, and with an empty bag."""
        flat, offsets, ends = indices.flatten(), torch.tensor([0, 5, 5, 9]), torch.tensor([0, 5, 5, 12])
        bag = functional.embedding_bag
        return (
            bag(indices, self.table),
            bag(flat, self.table, offsets, mode="sum", per_sample_weights=self.shares),
            bag(flat, self.table, ends, mode="mean", include_last_offset=True, padding_idx=1),
            aten._embedding_bag_forward_only(self.table.detach(), flat, offsets)[0],
        )


TABLE: Table = {
    "index": (
        None,
        lambda _, g: (
            g.rows[:, torch.tensor([0, -1]), g.indices[:1, :2]],  # of two dimensions that lie together
            g.rows[torch.tensor([[0], [2]]), :, g.indices[0]],  # and of two that do not
            g.rows[g.indices[:, 0] % 3, g.indices[:, 1], g.indices[:, 2]],
        ),
    ),
    "index put": (
        None,
        lambda _, g: (
            g.rows.index_put((torch.tensor([2, 0]),), g.rows[:2] * 3),
            aten.index_put(g.rows, [None, torch.tensor([0, -1])], torch.full((), 2.0, dtype=g.rows.dtype)),
            g.rows.index_put((g.indices % 3, g.indices), g.rows[0, 0], accumulate=True),
            aten.index_put(g.rows, [None, torch.tensor([[1], [3]]), torch.tensor([0, 2])], g.rows[:, :1, :2]),
        ),
    ),
    "index put by a mask": (
        None,
        lambda _, g: (
            g.rows.index_put((g.flags,), torch.full((), -1.0, dtype=g.rows.dtype)),
            g.rows.index_put((g.flags[:, 0, 0],), torch.full((), 2.0, dtype=g.rows.dtype), accumulate=True),
        ),
    ),
    "masked scatter": (
        None,
        lambda _, g: (
            g.rows.masked_scatter(g.flags, g.rows * 2),
            g.rows.masked_scatter(g.flags[0, :1], g.rows * 2),
        ),
    ),
    "as strided": _rows(lambda x: (x.as_strided((4, 3, 3), (16, 3, 1)), (x * 2).as_strided((5,), (7,), 3))),
    "unfold": _maps(
        lambda x: (functional.unfold(x, 3, padding=1), functional.unfold(x, (2, 3), (2, 1), (1, 0), 2))
    ),
    "fold": _rows(
        lambda x: (
            functional.fold(x[:, :4, :12].repeat(1, 3, 1), (4, 5), 2),
            functional.fold(x[:, :4, :12], (5, 6), 2, padding=1, stride=2),
        )
    ),
    "sampled": _sample("bilinear", "zeros", False),
    "sampled, aligned": _sample("bilinear", "zeros", True),
    "sampled, border": _sample("bilinear", "border", False),
    "sampled, reflection": _sample("bilinear", "reflection", False),
    "sampled, reflection, aligned": _sample("bilinear", "reflection", True),
    "sampled, nearest": _sample("nearest", "zeros", False),
    "sampled, nearest, border, aligned": _sample("nearest", "border", True),
    "cdist": _rows(
        lambda x: [aten._cdist_forward(x, x[:, :3] * 2, p, None) for p in (0.0, 1.0, 2.0, 3.0, float("inf"))]
    ),
    "pdist": _rows(lambda x: (functional.pdist(x[0]), functional.pdist(x[1], 1))),
    "norms": _rows(
        lambda x: (
            functional.normalize(x, dim=-1),
            *(torch.linalg.vector_norm(x, p, 1) for p in (0, 1, 3.0, float("inf"), -float("inf"))),
        )
    ),
    "bags": (Bag, lambda own, g: own(g.indices)),
    "var of dimensions": _rows(lambda x: (aten.var.dim(x, [1]), aten.var.dim(x, [0, 2], False, True))),
    "group norm of rows": (lambda: nn.GroupNorm(5, 5), lambda own, g: own(g.rows)),
    "instance norm": (lambda: nn.InstanceNorm2d(6, affine=True), lambda own, g: own(g.maps + 3)),
    "instance norm of rows": (lambda: nn.InstanceNorm1d(5), lambda own, g: own(g.rows)),
    "norm by its own statistics": _rows(
        lambda x: aten._native_batch_norm_legit.no_stats(x[:1], None, None, True, 0.1, 1e-3)[0]
    ),
    "constants": _rows(
        lambda x: (
            aten.fill.Scalar(x, 2.5),
            aten.copy(x, x[0] * 2),
            x + aten.scalar_tensor(3.0),
            aten.fill.Scalar(aten.empty.memory_format([3, 2]), 7.0) * x[0, :3, :2],
        )
    ),
    "attention by hand": (None, lambda _, g: (lambda h: (h @ h.flip(-1).mT * 0.3).softmax(-1) @ h)(g.rows)),
    "attention by hand, with a bias": (
        lambda: nn.Linear(5, 10, False),
        lambda own, g: _attended(g, own.weight[:5]),
    ),
    "rows of what is no map": _rows(  # as many channels as columns: no shape tells them apart
        lambda x: (
            (x.reshape(3, 4, 5, 4) * 2).flatten(2).transpose(1, 2),
            torch.cat(
                [(x + 1).reshape(3, 4, 5, 4).flatten(2), x[:, :4, :4].reshape(3, 4, 2, 2).flatten(2)], 2
            ).mT,
        )
    ),
    "conv1d": _lines(lambda: nn.Conv1d(5, 7, 5, stride=2, padding=3, dilation=2)),
    "conv1d, same": _lines(lambda: nn.Conv1d(5, 10, 4, padding="same", groups=5)),
    "conv transpose of lines": _lines(lambda: nn.ConvTranspose1d(5, 4, 4, 2, 1)),
    "pools of lines": _lines(
        lambda: nn.Sequential(
            nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(2, 1, count_include_pad=False), nn.AdaptiveAvgPool1d(6)
        )
    ),
    "resized lines": _rows(
        lambda x: [functional.interpolate(x, scale_factor=1.5, mode=mode) for mode in ("nearest", "linear")]
    ),
    "a block of lines": _lines(lambda: Block(5, nn.Conv1d, nn.BatchNorm1d)),
    "conv3d": _volumes(lambda: nn.Conv3d(3, 7, (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1))),
    "conv3d, same": _volumes(lambda: nn.Conv3d(3, 6, (2, 4, 3), padding="same")),
    "conv3d, groups": _volumes(lambda: nn.Conv3d(3, 6, 3, padding=1, groups=3)),
    "conv3d of frames": _volumes(lambda: nn.Conv3d(3, 6, (1, 3, 3), (2, 1, 1), (0, 1, 1))),
    "conv3d of the depth": _volumes(lambda: nn.Conv3d(3, 6, (3, 1, 1), (2, 1, 1), (1, 0, 0))),
    "a block of volumes": _volumes(lambda: Block(3, nn.Conv3d, nn.BatchNorm3d)),
    "max pool of volumes": _volumes(lambda: nn.MaxPool3d((3, 2, 2), 2, (1, 0, 1), ceil_mode=True)),
    "average pools of volumes": _volumes(
        lambda: nn.Sequential(nn.AvgPool3d(2, 1, 1, count_include_pad=False), nn.AvgPool3d((2, 3, 2)))
    ),
    "average pool with a divisor": _volumes(lambda: nn.AvgPool3d(2, 1, divisor_override=3)),
    "adaptive average pool of volumes": _volumes(lambda: nn.AdaptiveAvgPool3d((3, 2, 5))),
    "resized volumes": (
        None,
        lambda _, g: [
            functional.interpolate(g.maps.reshape(2, 3, 4, 5, 8), size=(6, 7, 8), mode=mode)
            for mode in ("nearest", "trilinear")
        ],
    ),
    "forms of volumes": (
        None,
        lambda _, g: (
            functional.max_pool3d_with_indices(g.maps.reshape(2, 3, 4, 5, 8), 2)[0],
            aten._adaptive_avg_pool3d(g.maps.reshape(2, 3, 4, 5, 8), [1, 1, 1]),
        ),
    ),
}
