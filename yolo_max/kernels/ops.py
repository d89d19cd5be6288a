"""Convolutions on the Mojo kernels, for any MAX graph on a CPU.

Maps are NHWC, float32 or bfloat16, and may be plain tensors or views (:class:`FeatureMap`); batch, height and
width may be symbolic. What a graph needs is said in ``kernels/call.py``.
"""

from __future__ import annotations

import numpy as np
from max.dtype import DType
from max.graph import TensorType, TensorValue, TensorValueLike, Weight, ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.call import CPU, DTYPES, Map, copied, one_slice, precision_of, run_kernel, view_of
from yolo_max.kernels.conv_kernel import BEFORE, BEHIND, DIRECT, TRANSPOSED, ConvKernel, conv_params
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.packing import bias_size
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window, transposed_window


def conv_weights(
    kernel: ConvKernel,
    c1: int,
    c2: int,
    k: int | Pair,
    precision: Precision,
    prefix: str = "",
    *,
    groups: int = 1,
    slopes: bool = False,
) -> tuple[Weight, Weight]:
    """A convolution's weights in a graph, to be bound to the results of ``kernel.pack`` and ``pack_bias``.

    Args:
        kernel: The kernel that reads them.
        c1: Input channels.
        c2: Output channels.
        k: Filter size, or (rows, columns).
        precision: Of the activations.
        prefix: Of their names.
        groups: Of the channels.
        slopes: Whether the biases are followed by the slopes of PReLU.

    Returns:
        Filters, named ``<prefix>weight``, and biases, ``<prefix>bias``.
    """
    size = kernel.packed_size(c1, c2, Window.of(k, groups=groups), precision)
    return (
        Weight(f"{prefix}weight", DType.from_numpy(np.dtype(kernel.weight_dtype(precision))), [size], CPU),
        Weight(f"{prefix}bias", DType.float32, [bias_size(c2, slopes=slopes)], CPU),
    )


def packed_weights(
    kernel: ConvKernel,
    c1: int,
    c2: int,
    window: Window,
    precision: Precision,
    weight: TensorValueLike,
    bias: TensorValueLike,
    activation: Activation,
) -> tuple[TensorValue, TensorValue]:
    """Packed filters and biases as tensors; a kernel reads them without asking for their size.

    Raises:
        ValueError: One of them has another size than the kernel reads.
    """
    tensors = TensorValue(weight), TensorValue(bias)
    sizes = (
        kernel.packed_size(c1, c2, window, precision),
        bias_size(c2, slopes=activation is Activation.PRELU),
    )
    for name, tensor, size in zip(("weights", "biases"), tensors, sizes, strict=True):
        if tensor.shape.static_dims and tensor.shape != [size]:
            raise ValueError(
                f"The packed {name} have the shape {list(tensor.shape)}; "
                f"{kernel} with {activation.name} reads [{size}] for {c2} channels from {c1}."
            )
    return tensors


def conv2d(
    x: Map,
    weight: TensorValueLike,
    bias: TensorValueLike,
    kernel: ConvKernel,
    c2: int,
    k: int | Pair,
    s: int | Pair = 1,
    *,
    padding: int | Pair | tuple[int, int, int, int] | None = None,
    dilation: int | Pair = 1,
    groups: int = 1,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    residual: Map | None = None,
    residual_first: bool = False,
    residual_scale: float = 1.0,
    factor: Map | None = None,
    mask: Map | None = None,
    halo: int = 0,
    divisor: int = 1,
    precision: Precision | None = None,
) -> FeatureMap:
    """A convolution and what follows it, as one operation: ``activation(conv + bias) * factor + residual``.

    Args:
        x: ``[B, H, W, c1]``; uint8 is allowed, and divided by ``divisor``.
        weight: Filters, packed for ``kernel``.
        bias: Packed biases, and the slopes of PReLU.
        kernel: The kernel to run, such as ``ConvKernel.choose(c1, k, s, precision)``, chosen for the geometry
            given here.
        c2: Output channels.
        k: Filter size; a pair is (rows, columns), here and below.
        s: Stride.
        padding: Zeros around the map, ``k // 2`` by default; four numbers are (top, left, bottom, right).
        dilation: Pixels from one tap of the filter to the next.
        groups: Parts of the channels that are convolved by themselves; ``c1`` and ``c2`` are multiples.
        activation: Applied after the bias.
        slope: Of ``LEAKY_RELU``.
        residual: Of the result's shape.
        residual_first: Whether the residual is added before the activation, as ResNet does; else at last.
        residual_scale: What it is multiplied with.
        factor: Of the result's shape, or ``[B, 1, 1, c2]``; the activated values are multiplied with it.
        mask: As the result, with one channel: 0 for outputs that are not read and may be anything.
        halo: Rings of 4 x 4 output tiles around those in the mask that are read as well.
        divisor: For uint8 input.
        precision: Of the result; by default that of ``x``, and f32 for uint8.

    Returns:
        ``[B, H', W', c2]``: with the defaults, H' is ceil(H / s).

    Raises:
        ValueError: The geometry is impossible or not the kernel's, or what is packed has another size.
    """
    x = view_of(x)
    precision = precision or (Precision.F32 if x.dtype == DType.uint8 else precision_of(x))
    x = _readable(x, kernel, divisor, precision)
    window = Window.of(k, s, padding, dilation, groups)
    if not kernel.fits(x.channels, c2, window, precision):
        raise ValueError(
            f"The kernel {kernel} does not compute {window} from {x.channels} to {c2} channels "
            f"in {precision}; use the one that ConvKernel.choose returns."
        )
    weight, bias = packed_weights(kernel, x.channels, c2, window, precision, weight, bias, activation)
    batch, *sides = x.size
    params = conv_params(
        window,
        x.channels,
        c2,
        activation=activation,
        slope=slope,
        residual=0 if residual is None else BEFORE if residual_first else BEHIND,
        scale=residual_scale,
        factor=factor is not None,
        halo=None if mask is None else halo,
        divisor=divisor if x.dtype == DType.uint8 else 0,
    )
    y = run_kernel(
        kernel.id,
        params,
        [*x.slices, *(one_slice(each) for each in (residual, factor, mask) if each is not None)],
        weight,
        bias,
        TensorType(DTYPES[precision], [batch, *window.outputs(*sides), c2], CPU),
        precision,
        kernel.table,
    )
    return FeatureMap.of(y)


def conv_transpose2d(
    x: Map,
    weight: TensorValueLike,
    bias: TensorValueLike,
    c2: int,
    k: int | Pair,
    s: int | Pair,
    *,
    padding: int | Pair = 0,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
) -> FeatureMap:
    """A transposed convolution that enlarges a map ``s`` times, such as 2x2 with stride 2.

    Args:
        x: ``[B, H, W, c1]``, of whole or of doubled channels.
        weight: Filters from ``packing.pack_transposed``, as many as ``DIRECT`` has in :func:`conv_weights`.
        bias: Packed biases, and the slopes of PReLU.
        c2: Output channels.
        k: Filter size; a pair is (rows, columns), here and below.
        s: Stride, at most ``k``.
        padding: Rows and columns cut off above and to the left, at most ``k - s``; the rest of ``k - s`` is
            cut off below and to the right.
        activation: Applied after the bias.
        slope: Of ``LEAKY_RELU``.

    Returns:
        ``[B, H * s, W * s, c2]``.

    Raises:
        ValueError: The geometry is impossible, or what is packed has another size.
    """
    x = view_of(x)
    precision = precision_of(x)
    window = transposed_window(k, s, padding)
    weight, bias = packed_weights(DIRECT, x.channels, c2, window, precision, weight, bias, activation)
    batch, height, width = x.size
    size = [batch, height * window.stride[0], width * window.stride[1], c2]
    params = conv_params(window, x.channels, c2, activation=activation, slope=slope)
    result = TensorType(DTYPES[precision], size, CPU)
    return FeatureMap.of(
        run_kernel(TRANSPOSED.id, params, x.slices, weight, bias, result, precision, TRANSPOSED.table)
    )


def _readable(x: FeatureMap, kernel: ConvKernel, divisor: int, precision: Precision) -> FeatureMap:
    """The map in the kernel's type, and as a whole tensor for a kernel that reads bytes."""
    if kernel.reads_bytes:
        x = x if len(x.slices) == 1 and x.slices[0].whole else FeatureMap.of(copied(x))
        if x.dtype == DType.uint8:
            return x
    elif x.dtype == DType.uint8:
        x = FeatureMap.of(ops.cast(copied(x), DType.float32) / float(divisor))
    if x.dtype != DTYPES[precision]:
        x = FeatureMap.of(ops.cast(copied(x), DTYPES[precision]))
    return x
