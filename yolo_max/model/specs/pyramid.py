"""The specs of blocks that pool a map at several sizes: SPP, SPPF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs.parts import DEFAULT_ACTIVATION, Part, conv, max_pool, numbered
from yolo_max.model.specs.row import MAX_KERNEL, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block, shortcut
from yolo_max.support.text import shorten

MAX_POOLS = 16


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
        first = DEFAULT_ACTIVATION if args["activated"] else "Identity"
        below = {
            "cv1": conv(1, layer.c_in[0], hidden, activation=first),
            "cv2": conv(1, (1 + args["pools"]) * hidden, layer.c_out),
            "m": max_pool(args["kernel"]),
        }
        return Part(below, later={"n": args["pools"], "add": bool(args["shortcut"])})

    def describe(self, layer: Layer) -> str:
        """Width, size and number of the pools, and shortcut."""
        args = layer.args
        return f"hidden {args['hidden']}, {args['pools']} pools of {args['kernel']}{shortcut(layer)}"
