"""The specs of the blocks before the head: Conv, Bottleneck, C2f, C3, SPPF, nn.Upsample, Concat."""

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
        """Only square, odd kernels with padding ``kernel // 2`` are ported."""
        c_out = row.output_channels(given["c_out"])
        square = not isinstance(given["kernel"], list | tuple)
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL) if square else 0
        args = {"kernel": kernel, "stride": row.integer(given["stride"], "stride", 1, MAX_STRIDE)}
        if kernel % 2 == 0:
            return Resolved(c_out, args, ["kernel"])
        return Resolved(c_out, args, ["padding"] if given["padding"] not in (None, kernel // 2) else [])

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, kernel, stride."""
        return [layer.c_out, layer.args["kernel"], layer.args["stride"]]

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """One."""
        args = layer.args
        yield Convolution("conv", args["kernel"], layer.c_in[0], layer.c_out, args["stride"])

    def stride(self, layer: Layer) -> Fraction:
        """The convolution's."""
        return Fraction(layer.args["stride"])

    def describe(self, layer: Layer) -> str:
        """Kernel and stride."""
        kernel, stride = layer.args["kernel"], layer.args["stride"]
        return f"{kernel} x {kernel}" + (f", stride {stride}" if stride > 1 else "")


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
        return [layer.c_out, bool(layer.args["shortcut"]), 1, [3, 3], _expansion(layer)]

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
        """The bottlenecks keep their width, so the row alone decides on shortcuts."""
        c_out = row.output_channels(given["c_out"])
        hidden = row.hidden_channels(c_out, given["expansion"])
        return Resolved(
            c_out, {"bottlenecks": row.repeats, "hidden": hidden, "shortcut": bool(given["shortcut"])}
        )

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, shortcut, width."""
        return [layer.c_out, bool(layer.args["shortcut"]), 1, _expansion(layer)]

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

    A row with a number of pools is YOLO26's, without an activation after the first convolution.
    """

    signature = (
        Argument("c_out"),
        Argument("kernel", 5),
        Argument("pools", None, only=None),
        Argument("shortcut", False),
    )
    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Odd pools; half of the input channels between the convolutions."""
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        if row.c_in[0] == 1:
            raise row.error("halves a single channel")
        args = {"kernel": kernel, "hidden": row.c_in[0] // 2}
        return Resolved(row.output_channels(given["c_out"]), args, ["kernel"] if kernel % 2 == 0 else [])

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, and size of the pools."""
        return [layer.c_out, layer.args["kernel"]]

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """In, and out."""
        hidden = layer.args["hidden"]
        yield Convolution("cv1.conv", 1, layer.c_in[0], hidden)
        yield Convolution("cv2.conv", 1, 4 * hidden, layer.c_out)

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """Three equal pools without a shortcut, which releases before 2025 always had and did not save."""
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
        """Only a factor of two is ported."""
        return Resolved(row.c_in[0], {"scale": 2})

    def arguments(self, layer: Layer) -> list[Any]:
        """Scale, mode."""
        return [None, layer.args["scale"], "nearest"]

    def stride(self, layer: Layer) -> Fraction:
        """Doubles the map."""
        return Fraction(1, layer.args["scale"])

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """Its settings; ``align_corners`` does not apply to this mode."""
        factor = pairs(scale_factor=layer.args["scale"])
        yield SavedModule("", "Upsample", {**factor, "mode": "nearest", "size": None})

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

    def saved(self, layer: Layer) -> Iterator[SavedModule]:  # noqa: ARG002
        """The axis."""
        yield SavedModule("", "Concat", {"d": 1})


def _expansion(layer: Layer) -> float:
    """The ratio of hidden to output channels, plus half a channel because Ultralytics rounds down."""
    return (layer.args["hidden"] + 0.5) / layer.c_out


def _shortcut(layer: Layer) -> str:
    return ", shortcut" if layer.args["shortcut"] else ""
