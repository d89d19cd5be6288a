"""Products of matrices on the Mojo kernels, for any MAX graph on a CPU.

Tensors are float32, with any batch dimensions, which may be symbolic. What a graph needs is said in
``kernels/call.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from max.dtype import DType
from max.graph import Dim, StaticDim, TensorType, TensorValue, TensorValueLike, ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.call import CPU, run_kernel
from yolo_max.kernels.conv_kernel import DIRECT
from yolo_max.kernels.feature_map import ChannelSlice
from yolo_max.kernels.kernel_table import KernelTable
from yolo_max.kernels.ops import packed_weights
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window

MATMUL, LINEAR, SOFTMAX, ATTENTION = range(4)
"""Their indices in ``kernels/products.mojo``."""
PRODUCTS = KernelTable("products_table", 4)


@dataclass(frozen=True)
class Heads:
    """Rows of every head of an attention: ``channels`` channels of each pixel.

    Attributes:
        tensor: ``[B, H, W, C]``; H x W pixels are as many rows.
        start: First channel of the first head.
        channels: Channels of a head.
        step: From the first channel of a head to that of the next one.
    """

    tensor: TensorValue
    start: int
    channels: int
    step: int


def matmul(
    a: TensorValue,
    b: TensorValue,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    bias: TensorValueLike | None = None,
) -> TensorValue:
    """Multiplies batches of matrices: ``alpha * a @ b + bias``.

    Args:
        a: ``[..., m, k]``, or ``[..., k, m]`` if it is to be transposed.
        b: ``[..., k, n]``, or ``[..., n, k]``. Batch dimensions are repeated as in ``torch.matmul``, mostly
            without copying.
        transpose_a: Whether to swap the last two dimensions of ``a``.
        transpose_b: Likewise, of ``b``.
        alpha: Factor of the product.
        bias: ``[n]``.

    Returns:
        ``[..., m, n]``.

    Raises:
        ValueError: The shapes do not fit each other, or a tensor is not of float32.
    """
    for x in (a, b):
        _require_f32(x)
        if x.rank < 2:
            raise ValueError(f"A matrix has rank 2 or more, not {x.rank}.")
    rows, inner = _matrix(a, transpose_a)
    inner_b, columns = _matrix(b, transpose_b)
    if inner != inner_b:
        raise ValueError(f"Rows of {inner} numbers cannot be multiplied by columns of {inner_b}.")
    batch = _broadcast(a.shape[:-2], b.shape[:-2])
    a, b, merged = _merge_batches(a, b, batch)
    params = [transpose_a, transpose_b, float_bits(alpha), bias is not None]
    parts = [ChannelSlice(x, 0, int(x.shape[3])) for x in (a, b)]
    y = _run(MATMUL, params, parts, [*merged, rows, columns], bias=bias)
    return ops.reshape(y, [*batch, rows, columns])


def linear(
    x: TensorValue,
    weight: TensorValueLike,
    bias: TensorValueLike,
    c2: int,
    *,
    activation: Activation = Activation.NONE,
    residual: TensorValue | None = None,
) -> TensorValue:
    """Multiplies rows by constant weights, adds the bias, applies the activation, then adds ``residual``.

    Args:
        x: ``[..., c1]``.
        weight: The weights of ``torch.nn.Linear``, transposed to ``[1, 1, c1, c2]`` and packed in float32 by
            ``packing.pack_direct``.
        bias: ``[c2]``, packed by ``packing.pack_bias``.
        c2: Channels of the result.
        activation: Applied after the bias; one without slopes.
        residual: ``[..., c2]``.

    Returns:
        ``[..., c2]``.

    Raises:
        ValueError: A tensor is not of float32, the activation has slopes, or what is packed has another size.
    """
    if activation in (Activation.LEAKY_RELU, Activation.PRELU):
        raise ValueError(f"A linear layer has no slopes for {activation.name}; use a 1x1 convolution.")
    weight, bias = packed_weights(
        DIRECT, int(x.shape[-1]), c2, Window.of(1), Precision.F32, weight, bias, activation
    )
    inputs = [x] if residual is None else [x, residual]
    for each in inputs:
        _require_f32(each)
    parts = [_rows(each) for each in inputs]
    result = [1, 1, parts[0].tensor.shape[2], c2]
    y = _run(LINEAR, [activation, len(inputs) - 1], parts, result, weight=weight, bias=bias)
    return ops.reshape(y, [*x.shape[:-1], c2])


def softmax(x: TensorValue) -> TensorValue:
    """Softmax over the last dimension of ``[..., n]``; a row with a NaN becomes NaN."""
    _require_f32(x)
    rows = _rows(x)
    return ops.reshape(_run(SOFTMAX, [], [rows], rows.tensor.shape), x.shape)


def attention(q: Heads, k: Heads, v: Heads, heads: int, *, scale: float | None = None) -> TensorValue:
    """Attention, ``softmax(q @ k.T * scale) @ v`` for every image and head, without the matrix of scores.

    ``q``, ``k`` and ``v`` are read where they are: they may be channels of one map. What PyTorch holds as
    ``[B, heads, n, d]`` is ``Heads(tensor reshaped to [B * heads, 1, n, d], 0, d, d)`` with one head.

    Args:
        q: Queries, of d channels, at most 256.
        k: Keys, of d channels.
        v: Values, of as many pixels as the keys.
        heads: Number of heads.
        scale: Of the scores; by default ``d ** -0.5``.

    Returns:
        ``[B, H, W, heads * v.channels]`` with H and W of the queries.

    Raises:
        ValueError: Queries and keys have different numbers of channels, or more than 256.
    """
    if q.channels != k.channels or q.channels > 256:
        raise ValueError(
            f"Queries of {q.channels} and keys of {k.channels} channels; both have one number up to 256."
        )
    for each in (q, k, v):
        _require_f32(each.tensor)
    scale = q.channels**-0.5 if scale is None else scale
    params = [heads, q.channels, v.channels, q.step, k.step, v.step, float_bits(scale)]
    parts = [
        ChannelSlice(each.tensor, each.start, (heads - 1) * each.step + each.channels) for each in (q, k, v)
    ]
    return _run(ATTENTION, params, parts, [*q.tensor.shape[:3], heads * v.channels])


def _run(
    id: int,
    params: Sequence[int],
    parts: Sequence[ChannelSlice],
    shape: Sequence[Dim | int],
    *,
    weight: TensorValueLike | None = None,
    bias: TensorValueLike | None = None,
) -> TensorValue:
    result = TensorType(DType.float32, list(shape), CPU)
    return run_kernel(id, params, parts, weight, bias, result, Precision.F32, PRODUCTS)


def _require_f32(x: TensorValue) -> None:
    if x.dtype != DType.float32:
        raise ValueError(f"Products are of float32, not {x.dtype.name}.")


def _rows(x: TensorValue) -> ChannelSlice:
    """``[..., n]`` as one map with a pixel per row."""
    *outer, last = x.shape
    count = Dim(1)
    for dim in outer:
        count = count * dim
    return ChannelSlice(ops.reshape(x, [1, 1, count, last]), 0, int(last))


def float_bits(value: float) -> int:
    """The bits of a float32, as a param."""
    return int(np.float32(value).view(np.int32))


def _matrix(x: TensorValue, transposed: bool) -> tuple[Dim, Dim]:
    rows, columns = x.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _is_one(dim: Dim) -> bool:
    return isinstance(dim, StaticDim) and dim.dim == 1


def _broadcast(a: Sequence[Dim], b: Sequence[Dim]) -> list[Dim]:
    """The batch dimensions of a product."""
    rank = max(len(a), len(b))
    batch = []
    for x, y in zip(_aligned(a, rank), _aligned(b, rank), strict=True):
        if x != y and not _is_one(x) and not _is_one(y):
            raise ValueError(f"Batches of {list(a)} and {list(b)} matrices cannot be repeated to one shape.")
        batch.append(y if _is_one(x) else x)
    return batch


def _aligned(shape: Sequence[Dim], rank: int) -> list[Dim]:
    return [Dim(1)] * (rank - len(shape)) + list(shape)


def _merge_batches(
    a: TensorValue, b: TensorValue, batch: Sequence[Dim]
) -> tuple[TensorValue, TensorValue, list[Dim]]:
    """Both tensors with two batch dimensions, and those of the result.

    Neighbouring dimensions become one where the same operand is repeated in both of them. Where more than two
    would be left, the operands are copied to the whole batch.
    """
    shapes = [_aligned(x.shape[:-2], len(batch)) for x in (a, b)]
    groups: list[tuple[tuple[bool, bool], Dim]] = []
    for x, y, dim in zip(*shapes, batch, strict=True):
        if _is_one(dim):
            continue
        kind = (_is_one(x), _is_one(y))
        if groups and groups[-1][0] == kind:
            groups[-1] = (kind, groups[-1][1] * dim)
        else:
            groups.append((kind, dim))
    if len(groups) > 2:
        whole = [ops.broadcast_to(x, [*batch, *x.shape[-2:]]) for x in (a, b)]
        return _merge_batches(whole[0], whole[1], batch)
    groups = [((False, False), Dim(1))] * (2 - len(groups)) + groups
    merged = [dim for _, dim in groups]
    both = [
        ops.reshape(x, [*(Dim(1) if kind[i] else dim for kind, dim in groups), *x.shape[-2:]])
        for i, x in enumerate((a, b))
    ]
    return both[0], both[1], merged
