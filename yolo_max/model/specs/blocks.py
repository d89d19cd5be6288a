"""The specs of the blocks before the head: Conv, Bottleneck, C2f, SPPF, nn.Upsample, Concat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.row import MAX_CHANNELS, MAX_KERNEL, MAX_STRIDE, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Convolution, Layer, Resolved, SavedModule, block, pairs


@block("Conv")
class Conv(BlockSpec):
    """Convolution, BatchNorm, SiLU. ``args``: kernel, stride."""

    signature = (
        Argument("c_out"),
        Argument("kernel", 1),
        Argument("stride", 1),
        Argument("padding", None),
        Argument("groups", 1, only=1),
        Argument("dilation", 1, only=1),
        Argument("activation", True, only=True),
    )
    last = "conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Kernels that are square and odd, padded by half."""
        c_out = row.output_channels(given["c_out"])
        square = not isinstance(given["kernel"], list | tuple)
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL) if square else 0
        args = {"kernel": kernel, "stride": row.integer(given["stride"], "stride", 1, MAX_STRIDE)}
        if kernel % 2 == 0:
            return Resolved(c_out, args, ["kernel"])
        return Resolved(c_out, args, ["padding"] if given["padding"] not in (None, kernel // 2) else [])

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """Its one."""
        args = layer.args
        yield Convolution("conv", args["kernel"], layer.c_in[0], layer.c_out, args["stride"])

    def stride(self, layer: Layer) -> Fraction:
        """That of the convolution."""
        return Fraction(layer.args["stride"])

    def describe(self, layer: Layer) -> str:
        """Kernel and stride."""
        kernel, stride = layer.args["kernel"], layer.args["stride"]
        return f"{kernel} x {kernel}" + (f", stride {stride}" if stride > 1 else "")


@block("Bottleneck")
class Bottleneck(BlockSpec):
    """Two 3x3 convolutions, and perhaps a shortcut. ``args``: hidden, shortcut."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", True),
        Argument("groups", 1, only=1),
        Argument("kernels", [3, 3], only=[3, 3]),
        Argument("expansion", 0.5),
    )
    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """There is a shortcut where it was asked for and the widths allow it."""
        c_out = row.output_channels(given["c_out"])
        hidden = row.hidden_channels(c_out, given["expansion"])
        return Resolved(
            c_out, {"hidden": hidden, "shortcut": bool(given["shortcut"]) and row.c_in[0] == c_out}
        )

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """In, and out."""
        yield Convolution("cv1.conv", 3, layer.c_in[0], layer.args["hidden"])
        yield Convolution("cv2.conv", 3, layer.args["hidden"], layer.c_out)

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """Its shortcut."""
        yield SavedModule("", "Bottleneck", {"add": bool(layer.args["shortcut"])})

    def describe(self, layer: Layer) -> str:
        """Width, and shortcut."""
        return f"hidden {layer.args['hidden']}{_shortcut(layer)}"


class CrossStage(BlockSpec):
    """Cross-stage partial bottlenecks. ``args``: bottlenecks, hidden, shortcut."""

    repeats_inside = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The bottlenecks keep their width, so nothing but the row decides about shortcuts."""
        c_out = row.output_channels(given["c_out"])
        hidden = row.hidden_channels(c_out, given["expansion"])
        return Resolved(
            c_out, {"bottlenecks": row.repeats, "hidden": hidden, "shortcut": bool(given["shortcut"])}
        )

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """The shortcut of each bottleneck."""
        for i in range(layer.args["bottlenecks"]):
            yield SavedModule(f"m.{i}", "Bottleneck", {"add": bool(layer.args["shortcut"])})

    def describe(self, layer: Layer) -> str:
        """Number and width of the bottlenecks, and shortcut."""
        return f"{layer.args['bottlenecks']} x {layer.args['hidden']}{_shortcut(layer)}"


@block("C2f")
class C2f(CrossStage):
    """The fast form, with two convolutions."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", False),
        Argument("groups", 1, only=1),
        Argument("expansion", 0.5),
    )
    last = "cv2.conv"

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """In and out, then those of the bottlenecks."""
        hidden, n = layer.args["hidden"], layer.args["bottlenecks"]
        yield Convolution("cv1.conv", 1, layer.c_in[0], 2 * hidden)
        yield Convolution("cv2.conv", 1, (2 + n) * hidden, layer.c_out)
        for i in range(n):
            yield Convolution(f"m.{i}.cv1.conv", 3, hidden, hidden)
            yield Convolution(f"m.{i}.cv2.conv", 3, hidden, hidden)


@block("C3")
class C3(CrossStage):
    """The form of YOLOv5, with three convolutions; its bottlenecks begin with a 1x1."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", True),
        Argument("groups", 1, only=1),
        Argument("expansion", 0.5),
    )
    last = "cv3.conv"

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """Into the bottlenecks, past them, and out; then those of the bottlenecks."""
        hidden = layer.args["hidden"]
        yield Convolution("cv1.conv", 1, layer.c_in[0], hidden)
        yield Convolution("cv2.conv", 1, layer.c_in[0], hidden)
        yield Convolution("cv3.conv", 1, 2 * hidden, layer.c_out)
        for i in range(layer.args["bottlenecks"]):
            yield Convolution(f"m.{i}.cv1.conv", 1, hidden, hidden)
            yield Convolution(f"m.{i}.cv2.conv", 3, hidden, hidden)


@block("SPPF")
class SPPF(BlockSpec):
    """Spatial pyramid pooling, the fast form. ``args``: kernel, hidden.

    One whose row counts its pools is YOLO26's, which has no activation after its first convolution.
    """

    signature = (
        Argument("c_out"),
        Argument("kernel", 5),
        Argument("pools", None, only=None),
        Argument("shortcut", False),
    )
    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Pools that are odd; between the convolutions half of the input channels."""
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        if row.c_in[0] == 1:
            raise row.error("halves a single channel")
        args = {"kernel": kernel, "hidden": row.c_in[0] // 2}
        return Resolved(row.output_channels(given["c_out"]), args, ["kernel"] if kernel % 2 == 0 else [])

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """In, and out."""
        hidden = layer.args["hidden"]
        yield Convolution("cv1.conv", 1, layer.c_in[0], hidden)
        yield Convolution("cv2.conv", 1, 4 * hidden, layer.c_out)

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """Three equal pools without a shortcut, all that releases before 2025 had and did not save."""
        kernel = layer.args["kernel"]
        yield SavedModule("", "SPPF", later={"n": 3, "add": False})
        yield SavedModule(
            "m", "MaxPool2d", pairs(kernel_size=kernel, stride=1, padding=kernel // 2, dilation=1)
        )

    def describe(self, layer: Layer) -> str:
        """Width, and size of the pools."""
        return f"hidden {layer.args['hidden']}, pool {layer.args['kernel']}"


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
        """There is one way."""
        return Resolved(row.c_in[0], {"scale": 2})

    def stride(self, layer: Layer) -> Fraction:
        """Doubles the map."""
        return Fraction(1, layer.args["scale"])

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """How it was made; ``align_corners`` does not concern this mode."""
        factor = pairs(scale_factor=layer.args["scale"])
        yield SavedModule("", "Upsample", {**factor, "mode": "nearest", "size": None})

    def describe(self, layer: Layer) -> str:
        """The factor."""
        return f"x {layer.args['scale']}"


@block("Concat")
class Concat(BlockSpec):
    """Maps one behind the other, along the channels. ``args``: none."""

    signature = (Argument("axis", 1, only=1),)
    joins = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:  # noqa: ARG002
        """The sum of the channels, if all are known."""
        total = sum(row.c_in) if all(row.c_in) else 0
        return Resolved(row.integer(total, "concatenated channels", 0, MAX_CHANNELS), {})

    def saved(self, layer: Layer) -> Iterator[SavedModule]:  # noqa: ARG002
        """The axis."""
        yield SavedModule("", "Concat", {"d": 1})


def _shortcut(layer: Layer) -> str:
    return ", shortcut" if layer.args["shortcut"] else ""
