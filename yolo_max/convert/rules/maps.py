"""Convolutions, pools and resizing: the kernels, on maps."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import torch
from max.graph import ops
from torch import fx

from yolo_max.convert import fused, plain_forms, transposed
from yolo_max.convert.constants import Biases, Bound, ConvFilters, TransposedFilters
from yolo_max.convert.fusion import conv_tail
from yolo_max.convert.program import Program, arguments, rank, shape_of, static_shape
from yolo_max.convert.rule import ANY, Bf16, Call, Layout, Rule, materialise, precision_of
from yolo_max.kernels import ops as kernels
from yolo_max.kernels import packing, pools
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DEPTHWISE, DIRECT, ConvKernel
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.resize import Resize, resize
from yolo_max.kernels.window import Pair, Window, transposed_window

aten = torch.ops.aten


def bound_bias(bias: Any, channels: int, activation: Activation, slopes: Any) -> Bound:
    """Packed biases, and the slopes of PReLU."""
    with_slopes = activation is Activation.PRELU
    name = f"zeros{channels}" if bias is None else str(bias.target)
    name += f":{slopes.target}" if with_slopes else ""
    size = packing.bias_size(channels, slopes=with_slopes)
    sources = (None if bias is None else bias.target, slopes.target if with_slopes else None)
    return Bound(f"{name}:packed", np.float32, (size,), Biases(channels), sources)


def _geometry(node: fx.Node) -> tuple[int, int, Window, ConvKernel]:
    """Channels in and out, the window and the kernel of a fused convolution."""
    stride, padding, dilation, groups = node.args[3:7]
    c2, _, *k = static_shape(node.args[1])
    c1 = int(shape_of(node.args[0])[1])
    window = Window((k[0], k[1]), stride, dilation, padding, groups)
    kernel = ConvKernel.choose(
        c1,
        window.kernel,
        window.stride,
        precision_of(node),
        c2=c2,
        padding=window.padding,
        dilation=window.dilation,
        groups=window.groups,
    )
    return c1, c2, window, kernel


def _pack_conv2d(node: fx.Node, _program: Program) -> list[Bound]:
    c1, c2, window, kernel = _geometry(node)
    weight: Any = node.args[1]
    activation, _, slopes, _, _ = conv_tail(node)
    precision = precision_of(node)
    name = f"{weight.target}:{kernel}{window.groups}{precision}"
    size = kernel.packed_size(c1, c2, window, precision)
    pack = ConvFilters(kernel.name, window.groups, precision)
    return [
        Bound(name, kernel.weight_dtype(precision), (size,), pack, (weight.target,)),
        bound_bias(node.args[2], c2, activation, slopes),
    ]


def _conv2d(
    call: Call,
    x: FeatureMap,
    _weight: None,
    _bias: None,
    stride: Pair,
    padding: tuple[int, int, int, int],
    dilation: Pair,
    groups: int,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    _slopes: None = None,
    residual: FeatureMap | None = None,
    residual_first: bool = False,
) -> FeatureMap:
    _, c2, window, kernel = _geometry(call.node)
    weight, bias = call.weights
    return kernels.conv2d(
        x,
        weight,
        bias,
        kernel,
        c2,
        window.kernel,
        stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        activation=activation,
        slope=slope,
        residual=residual,
        residual_first=residual_first,
    )


def _pack_conv_transpose2d(node: fx.Node, _program: Program) -> list[Bound]:
    weight, bias, stride, padding = cast(Any, node.args[1:5])
    c1, c2, *k = static_shape(weight)
    window = transposed_window((k[0], k[1]), stride, padding)
    activation, slopes = (node.args[5], node.args[7]) if node.args[5:] else (Activation.NONE, None)
    precision = precision_of(node)
    size = DIRECT.packed_size(c1, c2, window, precision)
    name = f"{weight.target}:transposed{stride}{padding}{precision}"
    pack = TransposedFilters(stride, padding, precision)
    return [
        Bound(name, DIRECT.weight_dtype(precision), (size,), pack, (weight.target,)),
        bound_bias(bias, c2, activation, slopes),
    ]


def _conv_transpose2d(
    call: Call,
    x: FeatureMap,
    _weight: None,
    _bias: None,
    stride: Pair,
    padding: Pair,
    activation: Activation = Activation.NONE,
    slope: float = 0.01,
    _slopes: None = None,
) -> FeatureMap:
    _, c2, *k = static_shape(call.node.args[1])
    weight, bias = call.weights
    return kernels.conv_transpose2d(
        x, weight, bias, c2, (k[0], k[1]), stride, padding=padding, activation=activation, slope=slope
    )


def _max_pool2d(
    _call: Call, x: FeatureMap, k: Any, s: Any = (), p: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> FeatureMap:
    return pools.max_pool(x, two(k), two(s or k), two(p), dilation=two(dilation), ceil_mode=ceil_mode)


def _avg_pool2d(
    _call: Call,
    x: FeatureMap,
    k: Any,
    s: Any = (),
    p: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> FeatureMap:
    return pools.average_pool(
        x,
        two(k),
        two(s or k),
        two(p),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


def _adaptive_avg_pool2d(_call: Call, x: FeatureMap, size: Any) -> FeatureMap:
    return pools.adaptive_average_pool(x, two(size))


def _resize(mode: Resize, call: Call, x: FeatureMap, _size: Any, scale: Any = None) -> FeatureMap:
    height, width = call.shape[2:]
    doubled = [2 * side for side in x.size[1:]]
    nearest = mode in (Resize.NEAREST, Resize.NEAREST_EXACT)
    plain = not any(part.doubled for part in x.slices)
    if nearest and plain and (scale == [2.0, 2.0] or [height, width] == doubled):
        return x.upsample()
    return resize(x, (height, width), mode, scale=None if scale is None else (scale[0], scale[1]))


def _bilinear(call: Call, x: FeatureMap, size: Any, align_corners: bool, scale: Any = None) -> FeatureMap:
    mode = Resize.BILINEAR_ALIGNED if align_corners else Resize.BILINEAR
    return _resize(mode, call, x, size, None if align_corners else scale)


def _pixel_shuffle(call: Call, x: FeatureMap, r: int) -> FeatureMap:
    batch, height, width, channels = materialise(x).shape
    parts = ops.reshape(materialise(x), [batch, height, width, int(channels) // r**2, r, r])
    _, c2, rows, columns = call.shape
    return FeatureMap.of(ops.reshape(ops.permute(parts, [0, 1, 4, 2, 5, 3]), [batch, rows, columns, c2]))


def two(value: Any) -> Pair:
    """Rows and columns of what PyTorch takes as one number or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def maps_only(node: fx.Node, _program: Program) -> str | None:
    """Why a tensor is no map, or None if it is one."""
    if rank(node.args[0]) != 4:
        return f"a map has rank 4, [batch, channels, height, width], and not {rank(node.args[0])}"
    if not isinstance(shape_of(node.args[0])[1], int):
        return "the number of channels is not static"
    return None


def _not_constant(node: fx.Node, program: Program) -> str | None:
    given = arguments(node)
    if any(given[name] is not None and program.constant(given[name]) is None for name in ("weight", "bias")):
        return "its weights are not constant"
    return maps_only(node, program)


def _transposed(node: fx.Node, program: Program) -> str | None:
    return _not_constant(node, program) or transposed.refusal(arguments(node))


def becomes_another(_call: Call, *_args: Any, **_kwargs: Any) -> Any:
    """Of an operation that no graph has any more when it is lowered."""
    raise AssertionError("a pass replaces this operation")


def _norm_refusal(node: fx.Node, program: Program) -> str | None:
    if any(each is not None and program.constant(each) is None for each in node.args[1:5]):
        return "its statistics are not constant"
    if any(user.args[1] != 0 for user in node.users):
        return "its saved statistics are read"
    return None


def _bf16_of_conv2d(node: fx.Node) -> Bf16:
    """A depthwise one multiplies in float32, and gains nothing of its own."""
    return Bf16.FOLLOWS if _geometry(node)[3] is DEPTHWISE else Bf16.COMPUTES


_maps = partial(Rule, layout=Layout.MAPS, refuses=maps_only, bf16=Bf16.FOLLOWS)

RULES = [
    Rule(fused.conv2d, _conv2d, "conv2d", Layout.MAPS, packs=_pack_conv2d, bf16=_bf16_of_conv2d),
    Rule(
        fused.conv_transpose2d,
        _conv_transpose2d,
        "conv_transpose2d",
        Layout.MAPS,
        packs=_pack_conv_transpose2d,
        bf16=Bf16.COMPUTES,
    ),
    Rule(aten.conv2d.default, becomes_another, "conv2d", Layout.MAPS, refuses=_not_constant),
    Rule(aten.conv2d.padding, becomes_another, "conv2d", Layout.MAPS, refuses=_not_constant),
    Rule(aten.conv_transpose2d.input, becomes_another, "conv_transpose2d", Layout.MAPS, refuses=_transposed),
    Rule(
        aten._native_batch_norm_legit_no_training.default,
        becomes_another,
        "folded into the layer before it, or conv2d",
        refuses=_norm_refusal,
    ),
    _maps(aten.max_pool2d.default, _max_pool2d, "max_pool"),
    _maps(aten.avg_pool2d.default, _avg_pool2d, "average_pool"),
    _maps(aten.adaptive_avg_pool2d.default, _adaptive_avg_pool2d, "average_pool"),
    _maps(aten.upsample_nearest2d.vec, partial(_resize, Resize.NEAREST), "a view, or resize"),
    _maps(aten._upsample_nearest_exact2d.vec, partial(_resize, Resize.NEAREST_EXACT), "a view, or resize"),
    _maps(aten.upsample_bilinear2d.vec, _bilinear, "resize"),
    *(
        Rule(operation, becomes_another, "its plain form", dtypes=ANY, refuses=plain_forms.refusal)
        for operation in plain_forms.FORMS
    ),
    Rule(aten.pixel_shuffle.default, _pixel_shuffle, layout=Layout.MAPS, refuses=maps_only),
]
