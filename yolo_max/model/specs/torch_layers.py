"""The specs of PyTorch's own layers in tables.

nn.Upsample, nn.Identity, nn.MaxPool2d, nn.ZeroPad2d, nn.ConvTranspose2d.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.parts import Convolution, Part, max_pool, pairs, transposed
from yolo_max.model.specs.row import MAX_KERNEL, MAX_STRIDE, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block
from yolo_max.support.text import shorten


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


@block("nn.Identity")
class Identity(BlockSpec):
    """Its input. ``args``: none."""

    signature = ()

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """Nothing changes."""
        return Resolved(row.c_in[0], {})

    def arguments(self, layer: Layer) -> list[Any]:  # noqa: ARG002
        """None."""
        return []

    def part(self, layer: Layer) -> Part:  # noqa: ARG002
        """Nothing below it."""
        return Part()


@block("nn.MaxPool2d")
class MaxPool2d(BlockSpec):
    """A max-pool. ``args``: kernel, stride, padding."""

    signature = (
        Argument("kernel"),
        Argument("stride", None),
        Argument("padding", 0),
        Argument("dilation", 1, only=1),
        Argument("return_indices", False, only=False),
        Argument("ceil_mode", False, only=False),
    )

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Square windows, padded by up to half of them; with a stride, as many outputs as it gives."""
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        stride = kernel if given["stride"] is None else given["stride"]
        stride = row.integer(stride, "stride", 1, MAX_STRIDE)
        padding = row.integer(given["padding"], "padding", 0, kernel // 2)
        fits = stride == 1 or kernel - stride <= 2 * padding < kernel
        args = {"kernel": kernel, "stride": stride, "padding": padding}
        return Resolved(row.c_in[0], args, [] if fits else ["kernel"])

    def arguments(self, layer: Layer) -> list[Any]:
        """Kernel, stride, padding."""
        return [layer.args[name] for name in ("kernel", "stride", "padding")]

    def part(self, layer: Layer) -> Part:
        """Its settings."""
        return max_pool(*self.arguments(layer))

    def stride(self, layer: Layer) -> Fraction:
        """Its own."""
        return Fraction(layer.args["stride"])

    def multiple(self, layer: Layer) -> int:
        """The stride, if a window that begins on the last pixels would be dropped."""
        args = layer.args
        return 1 if 2 * args["padding"] == args["kernel"] - 1 else args["stride"]

    def grows(self, layer: Layer) -> int:
        """Windows that stay on the map are fewer than its pixels."""
        args = layer.args
        return 2 * args["padding"] - args["kernel"] + 1 if args["stride"] == 1 else 0

    def describe(self, layer: Layer) -> str:
        """Kernel and stride."""
        kernel, stride = layer.args["kernel"], layer.args["stride"]
        return f"{kernel} x {kernel}, stride {stride}"


@block("nn.ZeroPad2d")
class ZeroPad2d(BlockSpec):
    """Zeros around the map. ``args``: left, right, top, bottom."""

    signature = (Argument("padding"),)
    sides = ("left", "right", "top", "bottom")

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """As many more columns as rows."""
        padding = given["padding"]
        padding = padding if isinstance(padding, list | tuple) else [padding] * len(self.sides)
        if len(padding) != len(self.sides):
            raise row.error(f"has padding {shorten(padding)}, which is not one number or four")
        found = [row.integer(each, "padding", 0, MAX_KERNEL) for each in padding]
        left, right, top, bottom = found
        unported = [] if left + right == top + bottom else ["padding"]
        return Resolved(row.c_in[0], dict(zip(self.sides, found, strict=True)), unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """All four."""
        return [[layer.args[side] for side in self.sides]]

    def part(self, layer: Layer) -> Part:
        """Its settings."""
        return Part(attributes={"padding": tuple(layer.args[side] for side in self.sides)})

    def grows(self, layer: Layer) -> int:
        """Columns, and rows."""
        return layer.args["left"] + layer.args["right"]

    def describe(self, layer: Layer) -> str:
        """All four."""
        return ", ".join(f"{side} {layer.args[side]}" for side in self.sides)


@block("nn.ConvTranspose2d")
class ConvTranspose2d(BlockSpec):
    """A transposed convolution whose filters do not overlap: it enlarges the map. ``args``: scale."""

    signature = (
        Argument("c_out"),
        Argument("kernel"),
        Argument("stride", 1),
        Argument("padding", 0, only=0),
        Argument("output_padding", 0, only=0),
        Argument("groups", 1, only=1),
        Argument("bias", True, only=True),
        Argument("dilation", 1, only=1),
    )
    last = ""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """A stride of the filters' size."""
        scale = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        unported = [] if given["stride"] == scale else ["stride"]
        return Resolved(row.output_channels(given["c_out"]), {"scale": scale}, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, kernel, stride."""
        return [layer.c_out, layer.args["scale"], layer.args["scale"]]

    def part(self, layer: Layer) -> Convolution:
        """The convolution itself."""
        return transposed(layer.c_in[0], layer.c_out, layer.args["scale"])

    def stride(self, layer: Layer) -> Fraction:
        """Enlarges the map."""
        return Fraction(1, layer.args["scale"])

    def describe(self, layer: Layer) -> str:
        """The factor."""
        return f"x {layer.args['scale']}"
