"""The specs of blocks with attention over the pixels of a map: C2PSA, PSA; A2C2f of YOLO12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs.parts import Part, conv, numbered
from yolo_max.model.specs.row import Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block, expansion

HEAD = 64
"""Channels of a head, or fewer than twice as many."""
AREA_HEAD = 32
"""Channels of a head of area attention."""


def heads(channels: int) -> int:
    """The number of heads."""
    return max(channels // HEAD, 1)


def heads_of(row: Row, channels: int) -> None:
    """Refuses a row whose channels do not divide into heads, or are too few for keys."""
    if channels % heads(channels) or channels == 1:
        raise row.error(f"attends with {channels} channels, which do not divide into {heads(channels)} heads")


def attention(channels: int) -> Part:
    """Multi-head attention; keys of half the size of a head, and a depthwise convolution for the position."""
    count = heads(channels)
    values = channels // count
    keys = values // 2
    below = {
        "qkv": conv(1, channels, channels + 2 * keys * count, activation="Identity"),
        "proj": conv(1, channels, channels, activation="Identity"),
        "pe": conv(3, channels, channels, depthwise=True, activation="Identity"),
    }
    sizes = {"num_heads": count, "head_dim": values, "key_dim": keys, "scale": keys**-0.5}
    return Part(below, "Attention", sizes)


def feed_forward(channels: int, hidden: int) -> Part:
    """Two 1x1 convolutions, the second one without activation."""
    last = conv(1, hidden, channels, activation="Identity")
    return Part(numbered("", [conv(1, channels, hidden), last]))


def psa_block(channels: int) -> Part:
    """Attention, then a feed-forward network, each with a shortcut."""
    below = {"attn": attention(channels), "ffn": feed_forward(channels, 2 * channels)}
    return Part(below, "PSABlock", {"add": True})


def area_block(channels: int, hidden: int, areas: int) -> Part:
    """Attention within equal parts of the map, then a feed-forward network, each with a shortcut."""
    below = {
        "qkv": conv(1, channels, 3 * channels, activation="Identity"),
        "proj": conv(1, channels, channels, activation="Identity"),
        "pe": conv(7, channels, channels, depthwise=True, activation="Identity"),
    }
    sizes = {"num_heads": channels // AREA_HEAD, "head_dim": AREA_HEAD, "area": areas}
    return Part({"attn": Part(below, "AAttn", sizes), "mlp": feed_forward(channels, hidden)}, "ABlock")


class Attending(BlockSpec):
    """Attention on half of the channels, if ``expansion`` is 0.5. ``args``: hidden."""

    last = "cv2.conv"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The number of channels does not change."""
        c_out = row.output_channels(given["c_out"])
        if row.c_in[0] not in (0, c_out):
            raise row.error(f"gives {c_out} channels, but must give the {row.c_in[0]} of its input")
        hidden = row.hidden_channels(c_out, given["expansion"])
        heads_of(row, hidden)
        return Resolved(c_out, {"hidden": hidden})

    def arguments(self, layer: Layer) -> list[Any]:
        """Channels, width."""
        return [layer.c_out, expansion(layer)]

    def outer(self, layer: Layer) -> dict[str, Part]:
        """In, and out."""
        hidden = layer.args["hidden"]
        return {"cv1": conv(1, layer.c_in[0], 2 * hidden), "cv2": conv(1, 2 * hidden, layer.c_out)}

    def describe(self, layer: Layer) -> str:
        """Width and heads."""
        return f"hidden {layer.args['hidden']}, {heads(layer.args['hidden'])} heads"


@block("C2PSA")
class C2PSA(Attending):
    """Several such blocks in a row. ``args``: hidden, bottlenecks."""

    signature = (Argument("c_out"), Argument("expansion", 0.5))
    repeats_inside = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The repeats are its own."""
        c_out, args, _ = super().resolve(row, given)
        return Resolved(c_out, {**args, "bottlenecks": row.repeats})

    def part(self, layer: Layer) -> Part:
        """In and out, then the blocks."""
        blocks = [psa_block(layer.args["hidden"])] * layer.args["bottlenecks"]
        return Part({**self.outer(layer), **numbered("m", blocks)})


@block("PSA")
class PSA(Attending):
    """A single one, YOLOv10's."""

    signature = (Argument("c_out"), Argument("expansion", 0.5))

    def part(self, layer: Layer) -> Part:
        """In and out, then attention and feed-forward network."""
        hidden = layer.args["hidden"]
        return Part({**self.outer(layer), "attn": attention(hidden), "ffn": feed_forward(hidden, 2 * hidden)})
