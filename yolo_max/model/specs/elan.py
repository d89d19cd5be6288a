"""The specs of YOLOv9's blocks: RepNCSPELAN4, ELAN1, AConv, ADown, SPPELAN."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.cross_stage import three_convolutions
from yolo_max.model.specs.parts import Below, Convolution, Part, conv, max_pool, numbered
from yolo_max.model.specs.row import MAX_CHANNELS, MAX_KERNEL, MAX_REPEATS, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block


class Elan(BlockSpec):
    """A 1x1 convolution reads the halves of another one and two blocks in a chain. ``args``: outer, inner."""

    last = "cv4.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The channels inside are not scaled."""
        outer = row.integer(given["outer"], "channels of the first convolution", 2, MAX_CHANNELS)
        if outer % 2:
            raise row.error(f"halves {outer} channels")
        inner = row.integer(given["inner"], "channels inside", 1, MAX_CHANNELS)
        return Resolved(row.output_channels(given["c_out"]), {"outer": outer, "inner": inner})

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels."""
        return [layer.c_out, layer.args["outer"], layer.args["inner"]]

    def part(self, layer: Layer) -> Part:
        """In, the chain, and out."""
        outer, inner = layer.args["outer"], layer.args["inner"]
        below = {
            "cv1": conv(1, layer.c_in[0], outer),
            "cv2": self.link(layer, outer // 2),
            "cv3": self.link(layer, inner),
            "cv4": conv(1, outer + 2 * inner, layer.c_out),
        }
        return Part(below)

    def link(self, layer: Layer, c_in: int) -> Part:
        """A block of the chain: a 3x3 convolution."""
        return conv(3, c_in, layer.args["inner"])

    def describe(self, layer: Layer) -> str:
        """Channels inside."""
        return f"hidden {layer.args['outer']} and {layer.args['inner']}"


@block("ELAN1")
class Elan1(Elan):
    """Each link of the chain is a convolution."""

    signature = (Argument("c_out"), Argument("outer"), Argument("inner"))


@block("RepNCSPELAN4")
class RepElan(Elan):
    """Each is a C3 with reparameterised convolutions, and a convolution. ``args``: bottlenecks too."""

    signature = (Argument("c_out"), Argument("outer"), Argument("inner"), Argument("bottlenecks", 1))

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The number of bottlenecks is an argument, and not scaled either."""
        c_out, args, _ = super().resolve(row, given)
        row.hidden_channels(args["inner"], 0.5)
        args["chain"] = row.integer(given["bottlenecks"], "bottlenecks", 1, MAX_REPEATS)
        return Resolved(c_out, args)

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, bottlenecks."""
        return [*super().arguments(layer), layer.args["chain"]]

    def link(self, layer: Layer, c_in: int) -> Part:
        """A C3 of half the width, and a 3x3 convolution."""
        inner = layer.args["inner"]
        hidden = inner // 2
        below: dict[str, Below] = {"cv1": reparameterised(hidden, hidden), "cv2": conv(3, hidden, hidden)}
        bottlenecks = [Part(below, "RepBottleneck", {"add": True})] * layer.args["chain"]
        c3 = Part({**three_convolutions(c_in, inner, hidden), **numbered("m", bottlenecks)}, "RepCSP")
        return Part(numbered("", [c3, conv(3, inner, inner)]))

    def describe(self, layer: Layer) -> str:
        """The bottlenecks too."""
        return f"{super().describe(layer)}, 2 x {layer.args['chain']} bottlenecks"


class Downsampling(BlockSpec):
    """The means of 2x2 pixels, then convolutions of stride 2. ``args``: none."""

    signature = (Argument("c_out"),)

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Output channels alone."""
        return Resolved(row.output_channels(given["c_out"]), {})

    def arguments(self, layer: Layer) -> list[Any]:
        """The channels."""
        return [layer.c_out]

    def stride(self, layer: Layer) -> Fraction:  # noqa: ARG002
        """Halves the map."""
        return Fraction(2)

    def multiple(self, layer: Layer) -> int:  # noqa: ARG002
        """The means of an odd map would be halved to one pixel less."""
        return 2


@block("AConv")
class AConv(Downsampling):
    """A 3x3 convolution."""

    last = "cv1.conv"

    def part(self, layer: Layer) -> Part:
        """One convolution; the pool has no module."""
        return Part({"cv1": conv(3, layer.c_in[0], layer.c_out, 2)})


@block("ADown")
class ADown(Downsampling):
    """A 3x3 convolution for one half of the channels; a max-pool and a 1x1 for the other."""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Channels that can be halved."""
        resolved = super().resolve(row, given)
        if row.c_in[0] % 2:
            raise row.error(f"halves {row.c_in[0]} channels")
        return resolved

    def part(self, layer: Layer) -> Part:
        """Two convolutions; the pools have no modules."""
        c_in, c_out = layer.c_in[0] // 2, layer.c_out // 2
        return Part({"cv1": conv(3, c_in, c_out, 2), "cv2": conv(1, c_in, c_out)})


@block("SPPELAN")
class SppElan(BlockSpec):
    """Three equal max-pools in a row between two convolutions. ``args``: hidden, kernel."""

    signature = (Argument("c_out"), Argument("hidden"), Argument("kernel", 5))
    last = "cv5.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Odd pools; the channels inside are not scaled."""
        hidden = row.integer(given["hidden"], "channels inside", 1, MAX_CHANNELS)
        kernel = row.integer(given["kernel"], "kernel", 1, MAX_KERNEL)
        unported = ["kernel"] if kernel % 2 == 0 else []
        return Resolved(row.output_channels(given["c_out"]), {"hidden": hidden, "kernel": kernel}, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, size of the pools."""
        return [layer.c_out, layer.args["hidden"], layer.args["kernel"]]

    def part(self, layer: Layer) -> Part:
        """In, the pools, and out."""
        hidden = layer.args["hidden"]
        pools = {name: max_pool(layer.args["kernel"]) for name in ("cv2", "cv3", "cv4")}
        return Part({"cv1": conv(1, layer.c_in[0], hidden), **pools, "cv5": conv(1, 4 * hidden, layer.c_out)})

    def describe(self, layer: Layer) -> str:
        """Width, and size of the pools."""
        return f"hidden {layer.args['hidden']}, 3 pools of {layer.args['kernel']}"


def reparameterised(c_in: int, c_out: int) -> Part:
    """RepConv: a 3x3 convolution, in a checkpoint the sum of a 3x3 and a 1x1."""
    branches = (("conv1.conv", 3), ("conv2.conv", 1))
    none = Part(kind="Identity")
    below: dict[str, Below] = {
        "conv": Convolution(3, c_in, c_out, branches=branches),
        "act": Part(kind="SiLU"),
    }
    return Part({**below, "conv1.act": none, "conv2.act": none}, "RepConv")
