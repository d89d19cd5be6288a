"""The specs of plain blocks: Conv, SCDown, Bottleneck, Concat."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.parts import DEFAULT_ACTIVATION, Part, bottleneck, conv
from yolo_max.model.specs.row import MAX_CHANNELS, MAX_KERNEL, MAX_STRIDE, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block, expansion, shortcut


@block("Conv")
class Conv(BlockSpec):
    """Convolution, BatchNorm, activation or none. ``args``: kernel, stride, padding, depthwise, activated."""

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
            activation=DEFAULT_ACTIVATION if args["activated"] else "Identity",
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
