"""The specs of plain blocks: Conv, SCDown, Bottleneck, SPP, SPPF, nn.Upsample, Concat."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.parts import Part, bottleneck, conv, max_pool, numbered, pairs
from yolo_max.model.specs.row import MAX_CHANNELS, MAX_KERNEL, MAX_STRIDE, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block, expansion, shortcut
from yolo_max.support.text import shorten

MAX_POOLS = 16


@block("Conv")
class Conv(BlockSpec):
    """Convolution, BatchNorm, SiLU or nothing. ``args``: kernel, stride, padding, depthwise, activated."""

    signature = (
        Argument("c_out"),
        Argument("kernel", 1),
        Argument("stride", 1),
        Argument("padding", None),
        Argument("groups", 1),
        Argument("dilation", 1, only=1),
        Argument("activation", True),
    )
    last = "conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Square kernels whose padding keeps the map's size, but for the stride; depthwise or not grouped."""
        c_in, c_out = row.c_in[0], row.output_channels(given["c_out"])
        square = not isinstance(given["kernel"], list | tuple)
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL) if square else 0
        stride = row.integer(given["stride"], "stride", 1, MAX_STRIDE)
        groups = row.integer(given["groups"], "groups", 1, MAX_CHANNELS)
        padding = kernel // 2 if given["padding"] is None else given["padding"]
        fits = type(padding) is int and padding >= 0 and kernel - stride <= 2 * padding < kernel
        unported = []
        if not fits:
            unported.append("kernel" if given["padding"] is None else "padding")
        if groups > 1 and not (groups == c_out and c_in in (0, c_out)):
            unported.append("groups")
        if not isinstance(given["activation"], bool):
            unported.append("activation")
        args = {
            "kernel": kernel,
            "stride": stride,
            "padding": padding if fits else 0,
            "depthwise": groups > 1,
            "activated": given["activation"] is True,
        }
        return Resolved(c_out, args, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """All but the dilation."""
        args = layer.args
        groups = layer.c_out if args["depthwise"] else 1
        sizes = [args["kernel"], args["stride"], args["padding"]]
        return [layer.c_out, *sizes, groups, 1, bool(args["activated"])]

    def part(self, layer: Layer) -> Part:
        """One convolution."""
        args = layer.args
        return conv(
            args["kernel"],
            layer.c_in[0],
            layer.c_out,
            args["stride"],
            args["padding"],
            depthwise=bool(args["depthwise"]),
            activation="SiLU" if args["activated"] else "Identity",
        )

    def stride(self, layer: Layer) -> Fraction:
        """The convolution's."""
        return Fraction(layer.args["stride"])

    def describe(self, layer: Layer) -> str:
        """Kernel and stride."""
        kernel, stride = layer.args["kernel"], layer.args["stride"]
        return f"{kernel} x {kernel}" + (f", stride {stride}" if stride > 1 else "")


@block("SCDown")
class SCDown(BlockSpec):
    """YOLOv10's downsampling: a 1x1 convolution, then a depthwise one. ``args``: kernel, stride."""

    signature = (Argument("c_out"), Argument("kernel"), Argument("stride"))
    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Odd kernels."""
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        args = {"kernel": kernel, "stride": row.integer(given["stride"], "stride", 1, MAX_STRIDE)}
        return Resolved(row.output_channels(given["c_out"]), args, ["kernel"] if kernel % 2 == 0 else [])

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, kernel, stride."""
        return [layer.c_out, layer.args["kernel"], layer.args["stride"]]

    def part(self, layer: Layer) -> Part:
        """Channels first, then pixels."""
        args, c = layer.args, layer.c_out
        depthwise = conv(args["kernel"], c, c, args["stride"], depthwise=True, activation="Identity")
        return Part({"cv1": conv(1, layer.c_in[0], c), "cv2": depthwise})

    def stride(self, layer: Layer) -> Fraction:
        """That of the second convolution."""
        return Fraction(layer.args["stride"])

    def describe(self, layer: Layer) -> str:
        """Kernel and stride."""
        return f"{layer.args['kernel']} x {layer.args['kernel']}, stride {layer.args['stride']}"


@block("Bottleneck")
class Bottleneck(BlockSpec):
    """Two 3x3 convolutions and an optional shortcut. ``args``: hidden, shortcut."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", True),
        Argument("groups", 1, only=1),
        Argument("kernels", [3, 3], only=[3, 3]),
        Argument("expansion", 0.5),
    )
    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """A shortcut needs matching widths."""
        c_out = row.output_channels(given["c_out"])
        hidden = row.hidden_channels(c_out, given["expansion"])
        return Resolved(
            c_out, {"hidden": hidden, "shortcut": bool(given["shortcut"]) and row.c_in[0] == c_out}
        )

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, shortcut, width."""
        return [layer.c_out, bool(layer.args["shortcut"]), 1, [3, 3], expansion(layer)]

    def part(self, layer: Layer) -> Part:
        """In, and out."""
        return bottleneck(layer.c_in[0], layer.c_out, layer.args["hidden"], bool(layer.args["shortcut"]))

    def describe(self, layer: Layer) -> str:
        """Width, and shortcut."""
        return f"hidden {layer.args['hidden']}{shortcut(layer)}"


class PyramidPooling(BlockSpec):
    """Max-pools between two convolutions, the first of which halves the channels. ``args``: hidden."""

    last = "cv2.conv"

    def halved(self, row: Row) -> int:
        """Channels between the convolutions."""
        if row.c_in[0] == 1:
            raise row.error("halves a single channel")
        return row.c_in[0] // 2


@block("SPP")
class SPP(PyramidPooling):
    """Spatial pyramid pooling: pools of several sizes side by side. ``args``: hidden, pools, pool_<i>."""

    signature = (Argument("c_out"), Argument("kernels", (5, 9, 13)))

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Odd pools."""
        kernels = given["kernels"]
        if not isinstance(kernels, list | tuple) or not 0 < len(kernels) <= MAX_POOLS:
            raise row.error(f"has kernels {shorten(kernels)}, which is not a list of 1 to {MAX_POOLS}")
        sizes = [row.integer(kernel, "kernel", 1, MAX_KERNEL) for kernel in kernels]
        args = {"hidden": self.halved(row), "pools": len(sizes)}
        args |= {f"pool_{i}": size for i, size in enumerate(sizes)}
        even = any(size % 2 == 0 for size in sizes)
        return Resolved(row.output_channels(given["c_out"]), args, ["kernels"] if even else [])

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, and sizes of the pools."""
        return [layer.c_out, pool_sizes(layer)]

    def part(self, layer: Layer) -> Part:
        """In, and out; the pools between."""
        hidden, kernels = layer.args["hidden"], pool_sizes(layer)
        return Part(
            {
                "cv1": conv(1, layer.c_in[0], hidden),
                "cv2": conv(1, (1 + len(kernels)) * hidden, layer.c_out),
                **numbered("m", [max_pool(kernel) for kernel in kernels]),
            }
        )

    def describe(self, layer: Layer) -> str:
        """Width, and sizes of the pools."""
        return f"hidden {layer.args['hidden']}, pools {', '.join(map(str, pool_sizes(layer)))}"


def pool_sizes(layer: Layer) -> list[int]:
    """Sizes of the pools of an SPP."""
    return [layer.args[f"pool_{i}"] for i in range(layer.args["pools"])]


@block("SPPF")
class SPPF(PyramidPooling):
    """The fast form: equal pools in a row. ``args``: hidden, kernel, pools, activated, shortcut.

    A row with a number of pools is YOLO26's: no activation after the first convolution; perhaps a shortcut.
    """

    signature = (
        Argument("c_out"),
        Argument("kernel", 5),
        Argument("pools", None),
        Argument("shortcut", False),
    )

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Odd pools; a shortcut needs matching widths."""
        c_out = row.output_channels(given["c_out"])
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        activated = given["pools"] is None
        args = {
            "hidden": self.halved(row),
            "kernel": kernel,
            "pools": 3 if activated else row.integer(given["pools"], "pools", 1, MAX_POOLS),
            "activated": activated,
            "shortcut": bool(given["shortcut"]) and row.c_in[0] == c_out,
        }
        return Resolved(c_out, args, ["kernel"] if kernel % 2 == 0 else [])

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, and size of the pools; in the later form, their number and the shortcut."""
        args = layer.args
        later = [] if args["activated"] else [args["pools"], bool(args["shortcut"])]
        return [layer.c_out, args["kernel"], *later]

    def part(self, layer: Layer) -> Part:
        """In, and out; the pool between. Releases before 2025 always had three, without a shortcut."""
        args = layer.args
        hidden = args["hidden"]
        below = {
            "cv1": conv(1, layer.c_in[0], hidden, activation="SiLU" if args["activated"] else "Identity"),
            "cv2": conv(1, (1 + args["pools"]) * hidden, layer.c_out),
            "m": max_pool(args["kernel"]),
        }
        return Part(below, later={"n": args["pools"], "add": bool(args["shortcut"])})

    def describe(self, layer: Layer) -> str:
        """Width, size and number of the pools, and shortcut."""
        args = layer.args
        return f"hidden {args['hidden']}, {args['pools']} pools of {args['kernel']}{shortcut(layer)}"


@block("nn.Upsample")
class Upsample(BlockSpec):
    """Nearest-neighbour upsampling by two. ``args``: scale."""

    signature = (
        Argument("size", None, only=None),
        Argument("scale", None, only=2),
        Argument("mode", "nearest", only="nearest"),
        Argument("align_corners", None, only=None),
    )

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """Only a factor of two is ported."""
        return Resolved(row.c_in[0], {"scale": 2})

    def arguments(self, layer: Layer) -> list[Any]:
        """Scale, mode."""
        return [None, layer.args["scale"], "nearest"]

    def part(self, layer: Layer) -> Part:
        """Its settings; ``align_corners`` does not apply to this mode."""
        factor = pairs(scale_factor=layer.args["scale"])
        return Part(attributes={**factor, "mode": "nearest", "size": None})

    def stride(self, layer: Layer) -> Fraction:
        """Doubles the map."""
        return Fraction(1, layer.args["scale"])

    def describe(self, layer: Layer) -> str:
        """The factor."""
        return f"x {layer.args['scale']}"


@block("Concat")
class Concat(BlockSpec):
    """Concatenation along the channels. ``args``: none."""

    signature = (Argument("axis", 1, only=1),)
    joins = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """The sum of the channels; 0 if any are unknown."""
        total = sum(row.c_in) if all(row.c_in) else 0
        return Resolved(row.integer(total, "concatenated channels", 0, MAX_CHANNELS), {})

    def arguments(self, layer: Layer) -> list[Any]:  # noqa: ARG002
        """The axis."""
        return [1]

    def part(self, layer: Layer) -> Part:  # noqa: ARG002
        """The axis."""
        return Part(attributes={"d": 1})
