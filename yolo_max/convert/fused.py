"""The operations that passes make: each is one kernel on MAX. Here is what they mean, in PyTorch.

A graph that has them still runs in PyTorch, so a pass is checked without MAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch.nn import functional

from yolo_max.kernels.activation import Activation

ACTIVATIONS: Mapping[Activation, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        Activation.NONE: lambda x: x,
        Activation.SILU: functional.silu,
        Activation.RELU: functional.relu,
        Activation.RELU6: functional.relu6,
        Activation.HARD_SIGMOID: functional.hardsigmoid,
        Activation.HARD_SWISH: functional.hardswish,
        Activation.SIGMOID: torch.sigmoid,
        Activation.TANH: torch.tanh,
        Activation.GELU: functional.gelu,
        Activation.GELU_TANH: lambda x: functional.gelu(x, approximate="tanh"),
    }
)
"""Those without slopes."""


def activate(
    x: torch.Tensor, activation: Activation, slope: float = 0.01, slopes: torch.Tensor | None = None
) -> torch.Tensor:
    """Applies an activation.

    Args:
        x: ``[B, C, ...]``.
        activation: Which one.
        slope: Of ``LEAKY_RELU``.
        slopes: Of ``PRELU``, ``[C]`` or ``[1]``.
    """
    if activation is Activation.LEAKY_RELU:
        return functional.leaky_relu(x, slope)
    if activation is Activation.PRELU:
        assert slopes is not None
        return functional.prelu(x, slopes)
    return ACTIVATIONS[activation](x)


def conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    slopes: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    residual_first: bool = False,
) -> torch.Tensor:
    """A convolution, its activation and a residual, which is added before the activation or behind it.

    Args:
        x: ``[B, c1, H, W]``.
        weight: ``[c2, c1 / groups, kh, kw]``, constant.
        bias: ``[c2]``, constant.
        stride: Of rows and of columns.
        padding: Zeros above, left of, below and right of the map.
        dilation: Of rows and of columns.
        groups: Of the channels.
        activation: Which one.
        slope: Of ``LEAKY_RELU``.
        slopes: Of ``PRELU``, constant.
        residual: Of the result's shape.
        residual_first: Whether it is added before the activation.
    """
    top, left, bottom, right = padding
    y = functional.conv2d(
        functional.pad(x, (left, right, top, bottom)), weight, bias, stride, 0, dilation, groups
    )
    if residual is not None and residual_first:
        y = y + residual
    y = activate(y, activation, slope, slopes)
    return y if residual is None or residual_first else y + residual


def conv_transpose2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    slopes: torch.Tensor | None = None,
) -> torch.Tensor:
    """A transposed convolution that enlarges a map ``stride`` times, and its activation.

    ``weight`` is ``[c1, c2, kh, kw]``, at least as large as the stride. ``padding`` is cut off above and to
    the left, the rest of kernel - stride below and to the right.
    """
    (top, left), (height, width) = padding, (s * side for s, side in zip(stride, x.shape[2:], strict=True))
    whole = functional.conv_transpose2d(x, weight, bias, stride)
    y = whole[:, :, top : top + height, left : left + width]
    return activate(y, activation, slope, slopes)


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    activation: Activation = Activation.NONE,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """A linear layer, its activation, then a residual of the result's shape."""
    y = activate(functional.linear(x, weight, bias), activation)
    return y if residual is None else y + residual


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """``softmax(q @ k.T * scale + bias) @ v``.

    Args:
        q: ``[..., n, d]``.
        k: ``[..., m, d]``.
        v: ``[..., m, c]``.
        bias: Broadcast to ``[..., n, m]``.
        scale: Of the products.
    """
    scores = q @ k.mT * scale
    return (scores if bias is None else scores + bias).softmax(-1) @ v


def flatten_maps(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, H, W] -> [B, H * W * C]``: in the order of channels-last memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


def rows_of_maps(maps: list[torch.Tensor]) -> torch.Tensor:
    """Maps ``[B, C, H, W]`` of any sizes, their pixels one after the other: ``[B, H * W + ..., C]``."""
    return torch.cat([each.flatten(2).transpose(1, 2) for each in maps], 1)


def embedding_bag(
    table: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    mean: bool,
    factors: torch.Tensor | None,
    last: bool,
    padding: int,
) -> torch.Tensor:
    """Sums or means of bags of rows.

    Args:
        table: ``[rows, channels]``.
        indices: ``[n]``: rows of all bags, one bag after the other.
        offsets: ``[bags]``: where each begins; with the end of the last one if ``last``.
        mean: Whether it is of means.
        factors: ``[n]``, of the rows, or None.
        last: See ``offsets``.
        padding: An index that does not count, or a negative number.
    """
    mode, excluded = "mean" if mean else "sum", None if padding < 0 else padding
    return functional.embedding_bag(
        indices,
        table,
        offsets,
        mode=mode,
        per_sample_weights=factors,
        include_last_offset=last,
        padding_idx=excluded,
    )


def as_maps(x: torch.Tensor) -> torch.Tensor:
    """Lines ``[B, C, L]`` as ``[B, C, 1, L]``; volumes ``[B, C, D, H, W]`` as ``[B * D, C, H, W]``."""
    return x.unsqueeze(2) if x.ndim == 3 else x.transpose(1, 2).flatten(0, 1)


def as_lines(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, 1, L] -> [B, C, L]``."""
    return x.squeeze(2)


def as_volumes(x: torch.Tensor, depth: int) -> torch.Tensor:
    """Frames ``[B * depth, C, H, W]`` as ``[B, C, depth, H, W]``."""
    return x.unflatten(0, (x.shape[0] // depth, depth)).transpose(1, 2)


def as_rows(x: torch.Tensor, depth: int) -> torch.Tensor:
    """Frames ``[B * depth, C, H, W]`` as maps with a row for each, ``[B, C, depth, H * W]``."""
    return as_volumes(x, depth).flatten(3)


def as_frames(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``[B, C, D, H * W] -> [B * D, C, H, W]``; ``like`` has this height and width."""
    return as_maps(x.unflatten(3, like.shape[2:]))
