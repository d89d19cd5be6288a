"""The specs of cross-stage partial blocks: A2C2f, C2, C2f, C2fCIB, C3, C3k2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from yolo_max.model.specs.attention import AREA_HEAD, area_block, heads_of, psa_block
from yolo_max.model.specs.parts import Below, Convolution, Part, bottleneck, conv, numbered
from yolo_max.model.specs.row import Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block, expansion, shortcut

MAX_AREAS = 64


class CrossStage(BlockSpec):
    """A chain of blocks on a part of the channels. ``args``: bottlenecks, hidden, shortcut."""

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
        return [layer.c_out, bool(layer.args["shortcut"]), 1, expansion(layer)]

    def inner(self, layer: Layer, kernel: int = 3) -> dict[str, Part]:
        """The bottlenecks, with a first convolution of ``kernel`` x ``kernel``."""
        hidden, same = layer.args["hidden"], bool(layer.args["shortcut"])
        each = bottleneck(hidden, hidden, hidden, same, kernel=kernel)
        return numbered("m", [each] * layer.args["bottlenecks"])

    def describe(self, layer: Layer) -> str:
        """Number and width of the bottlenecks, and shortcut."""
        return f"{layer.args['bottlenecks']} x {layer.args['hidden']}{shortcut(layer)}"


@block("C2")
class C2(CrossStage):
    """With two convolutions: one half of the channels passes the bottlenecks by."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", True),
        Argument("groups", 1, only=1),
        Argument("expansion", 0.5),
    )
    last = "cv2.conv"

    def part(self, layer: Layer) -> Part:
        """In and out, then the bottlenecks."""
        hidden = layer.args["hidden"]
        below = {"cv1": conv(1, layer.c_in[0], 2 * hidden), "cv2": conv(1, 2 * hidden, layer.c_out)}
        return Part({**below, **self.inner(layer)})


@block("C2f")
class C2f(CrossStage):
    """The fast form, with two convolutions; the last one reads every bottleneck."""

    signature: ClassVar[Sequence[Argument]] = (
        Argument("c_out"),
        Argument("shortcut", False),
        Argument("groups", 1, only=1),
        Argument("expansion", 0.5),
    )
    last = "cv2.conv"

    def part(self, layer: Layer) -> Part:
        """In and out, then what is between."""
        hidden, n = layer.args["hidden"], layer.args["bottlenecks"]
        below = {"cv1": conv(1, layer.c_in[0], 2 * hidden), "cv2": conv(1, (2 + n) * hidden, layer.c_out)}
        return Part({**below, **self.inner(layer)})


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

    def part(self, layer: Layer) -> Part:
        """Into the bottlenecks, past them, and out; then the bottlenecks."""
        outer = three_convolutions(layer.c_in[0], layer.c_out, layer.args["hidden"])
        return Part({**outer, **self.inner(layer, kernel=1)})


@block("C3k2")
class C3k2(C2f):
    """C2f with other blocks inside. ``args``: those of C2f; c3k, attention.

    They are narrow bottlenecks; or C3k, of two bottlenecks each; or a narrow bottleneck and attention.
    """

    signature = (
        Argument("c_out"),
        Argument("c3k", False),
        Argument("expansion", 0.5),
        Argument("attention", False),
        Argument("groups", 1, only=1),
        Argument("shortcut", True),
    )
    light_head = True
    always_c3k = ("m", "l", "x")
    """Sizes of a network in which Ultralytics' parser overrides the row."""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The size of the network may ask for C3k."""
        c_out, args, _ = super().resolve(row, given)
        row.hidden_channels(args["hidden"], 0.5)
        if given["attention"]:
            heads_of(row, args["hidden"])
        args["c3k"] = bool(given["c3k"]) or row.scale.size in self.always_c3k
        args["attention"] = bool(given["attention"])
        return Resolved(c_out, args)

    def arguments(self, layer: Layer) -> list[Any]:
        """All of them."""
        args = layer.args
        kinds = [bool(args["c3k"]), expansion(layer), bool(args["attention"])]
        return [layer.c_out, *kinds, 1, bool(args["shortcut"])]

    def inner(self, layer: Layer, kernel: int = 3) -> dict[str, Part]:  # noqa: ARG002
        """The blocks of its kind."""
        args = layer.args
        c, same = args["hidden"], bool(args["shortcut"])
        narrow = bottleneck(c, c, c // 2, same)
        if args["attention"]:
            each = Part(numbered("", [narrow, psa_block(c)]))
        elif args["c3k"]:
            each = c3k(c, c, same)
        else:
            each = narrow
        return numbered("m", [each] * args["bottlenecks"])

    def describe(self, layer: Layer) -> str:
        """The kind of the inner blocks too."""
        kind = ", attention" if layer.args["attention"] else ", C3k" if layer.args["c3k"] else ""
        return super().describe(layer) + kind


@block("C2fCIB")
class C2fCIB(C2f):
    """C2f with compact inverted blocks inside, YOLOv10's. ``args``: those of C2f; large_kernel."""

    signature = (
        Argument("c_out"),
        Argument("shortcut", False),
        Argument("large_kernel", False),
        Argument("groups", 1, only=1),
        Argument("expansion", 0.5),
    )
    light_head = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """As in C2f."""
        c_out, args, _ = super().resolve(row, given)
        return Resolved(c_out, {**args, "large_kernel": bool(given["large_kernel"])})

    def arguments(self, layer: Layer) -> list[Any]:
        """All of them."""
        args = layer.args
        return [layer.c_out, bool(args["shortcut"]), bool(args["large_kernel"]), 1, expansion(layer)]

    def inner(self, layer: Layer, kernel: int = 3) -> dict[str, Part]:  # noqa: ARG002
        """The inverted blocks."""
        args = layer.args
        each = inverted(args["hidden"], bool(args["shortcut"]), bool(args["large_kernel"]))
        return numbered("m", [each] * args["bottlenecks"])


@block("A2C2f")
class A2C2f(CrossStage):
    """C2f without the half that passes by, YOLO12's. ``args``: bottlenecks, hidden, shortcut; see below.

    Inside are pairs of area attention blocks, of ``areas`` areas and with ``mlp_hidden`` channels; or, if
    ``areas`` is 0, C3k. With ``residual``, the input is added to the result times a factor for each channel.
    """

    signature = (
        Argument("c_out"),
        Argument("attention", True),
        Argument("areas", 1),
        Argument("residual", False),
        Argument("mlp_ratio", 2.0),
        Argument("expansion", 0.5),
        Argument("groups", 1, only=1),
        Argument("shortcut", True),
    )
    last = "cv2.conv"
    light_head = True
    always_residual = ("l", "x")
    """Sizes of a network in which Ultralytics' parser adds two arguments to the row."""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The size of the network may ask for another ratio and a residual."""
        c_out, args, _ = super().resolve(row, given)
        hidden, residual, ratio, unported = args["hidden"], given["residual"], given["mlp_ratio"], []
        if row.scale.size in self.always_residual:
            residual, ratio = True, 1.2
            unported = [] if len(row.raw) == 3 else ["attention"]  # what is added would be another argument
        if hidden % AREA_HEAD:
            raise row.error(f"attends with {hidden} channels, which do not divide into heads of {AREA_HEAD}")
        attention = bool(given["attention"])
        args["areas"] = row.integer(given["areas"], "areas", 1, MAX_AREAS) if attention else 0
        args["mlp_hidden"] = row.hidden_channels(hidden, ratio) if attention else 0
        args["residual"] = attention and bool(residual)
        if args["residual"] and row.c_in[0] not in (0, c_out):
            raise row.error(f"adds its input of {row.c_in[0]} channels to {c_out}")
        return Resolved(c_out, args, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """All of them."""
        args = layer.args
        kinds = [args["areas"] > 0, args["areas"], bool(args["residual"])]
        ratio = (args["mlp_hidden"] + 0.5) / args["hidden"]
        return [layer.c_out, *kinds, ratio, expansion(layer), 1, bool(args["shortcut"])]

    def part(self, layer: Layer) -> Part:
        """In and out, then what is between."""
        args = layer.args
        hidden, n = args["hidden"], args["bottlenecks"]
        pair = [area_block(hidden, args["mlp_hidden"], args["areas"])] * 2
        each = Part(numbered("", pair)) if args["areas"] else c3k(hidden, hidden, bool(args["shortcut"]))
        below: dict[str, Below] = {
            "cv1": conv(1, layer.c_in[0], hidden),
            "cv2": conv(1, (1 + n) * hidden, layer.c_out),
            **numbered("m", [each] * n),
        }
        if args["residual"]:
            below["gamma"] = Convolution(1, layer.c_out, layer.c_out, groups=layer.c_out, kind="Parameter")
        return Part(below)

    def multiple(self, layer: Layer) -> int:
        """The number of pixels is a multiple of the areas."""
        areas = layer.args["areas"] or 1
        return next(side for side in range(1, areas + 1) if side**2 % areas == 0)

    def describe(self, layer: Layer) -> str:
        """The kind of the inner blocks too."""
        areas = layer.args["areas"]
        return f"{layer.args['bottlenecks']} x {layer.args['hidden']}, {f'{areas} areas' if areas else 'C3k'}"


def inverted(c: int, shortcut: bool, large_kernel: bool) -> Part:
    """Depthwise convolutions around 1x1 ones, with twice the channels in the middle."""
    middle = large_depthwise(2 * c) if large_kernel else conv(3, 2 * c, 2 * c, depthwise=True)
    outer = conv(3, c, c, depthwise=True)
    chain = numbered("cv1", [outer, conv(1, c, 2 * c), middle, conv(1, 2 * c, c), outer])
    return Part(chain, "CIB", {"add": shortcut})


def large_depthwise(c: int) -> Part:
    """A depthwise 7x7 convolution, in a checkpoint the sum of a 7x7 and a 3x3."""
    branches = (("conv.conv", 7), ("conv1.conv", 3))
    none = Part(kind="Identity")
    below: dict[str, Below] = {
        "conv": Convolution(7, c, c, groups=c, branches=branches),
        "act": Part(kind="SiLU"),
    }
    return Part({**below, "conv.act": none, "conv1.act": none}, "RepVGGDW")


def three_convolutions(c_in: int, c_out: int, hidden: int) -> dict[str, Part]:
    """Into the bottlenecks of a C3, past them, and out."""
    return {"cv1": conv(1, c_in, hidden), "cv2": conv(1, c_in, hidden), "cv3": conv(1, 2 * hidden, c_out)}


def c3k(c_in: int, c_out: int, same: bool) -> Part:
    """A C3 of half the width with two bottlenecks of 3x3 convolutions, as C3k2 has it inside."""
    hidden = c_out // 2
    inner = numbered("m", [bottleneck(hidden, hidden, hidden, same)] * 2)
    return Part({**three_convolutions(c_in, c_out, hidden), **inner}, "C3k")
