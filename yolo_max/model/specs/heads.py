"""The specs of the heads: Classify, Detect, v10Detect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.specs.parts import Below, Convolution, Part, conv, numbered, pairs
from yolo_max.model.specs.row import Argument, Row, whole
from yolo_max.model.specs.spec import SPECS, HeadSpec, Layer, Resolved, block
from yolo_max.support.errors import WeightsError

CLASSIFY_HIDDEN = 1280
MAX_REG_MAX = 64
MAX_LEVEL_STRIDE = 1024
ONE2ONE, ONE2MANY = "one2one", "one2many"


@block("Classify")
class Classify(HeadSpec):
    """A 1x1 convolution, the mean of its map, and a linear layer. ``args``: nc, hidden.

    It has no cells, so it does not constrain the size of the input.
    """

    signature = (
        Argument("nc"),
        Argument("kernel", 1, only=1),
        Argument("stride", 1, only=1),
        Argument("padding", None, only=None),
        Argument("groups", 1, only=1),
    )
    task = "classify"
    outputs = ("logits",)
    ultralytics_model = "ClassificationModel"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The width is the same at every scale."""
        nc = self.classes(row, given["nc"])
        return Resolved(nc, {"nc": nc, "hidden": CLASSIFY_HIDDEN})

    def arguments(self, layer: Layer) -> list[Any]:
        """The classes."""
        return [layer.args["nc"]]

    def part(self, layer: Layer) -> Part:
        """The convolution, the pool, and the linear layer; the dropout after it acts only in training."""
        hidden = layer.args["hidden"]
        below: dict[str, Below] = {
            "conv": conv(1, layer.c_in[0], hidden),
            "pool": Part(kind="AdaptiveAvgPool2d", attributes=pairs(output_size=1)),
            "linear": Convolution(1, hidden, layer.args["nc"], kind="Linear"),
        }
        return Part(below)

    def describe(self, layer: Layer) -> str:
        """Width."""
        return f"hidden {layer.args['hidden']}"


@block("Detect")
class Detect(HeadSpec):
    """At each level, a branch for the box and one for the classes.

    An end-to-end head has both of these twice: one pair of branches whose boxes need NMS, and one that was
    trained to give each object a single box. The raw outputs are those of the first pair, or, without NMS, of
    the second.

    ``args``: nc; reg_max, the bins of the box distribution (DFL) per side; box_hidden, class_hidden;
    depthwise, whether the class branch is made of depthwise convolutions and 1x1; end2end; one2many, whether
    it has the first pair too; nms.

    A table may say what its network's head came to, where that does not follow from the other rows:
    ``legacy``, whether the class branches are plain, as Ultralytics' attribute of this name; ``fused_to``,
    "one2one" or "one2many", the only pair that fusing left.
    """

    signature: ClassVar[Sequence[Argument]] = (Argument("nc"),)
    joins = True
    task = "detect"
    outputs: ClassVar[tuple[str, ...]] = ("head",)
    per_cell: ClassVar[tuple[str, ...]] = ("head",)
    ultralytics_model = "DetectionModel"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Widths as in Ultralytics; the bins are the table's."""
        nc = self.classes(row, given["nc"])
        reg_max = whole(row.table.get("reg_max", 16), "reg_max", 1, MAX_REG_MAX)
        args = {
            "nc": nc,
            "reg_max": reg_max,
            "box_hidden": max(16, row.c_in[0] // 4, reg_max * 4),
            "class_hidden": max(row.c_in[0], min(nc, 100)),
            "depthwise": not row.table.get("legacy", not light(row.before)),
            "end2end": bool(row.table.get("end2end")) and row.table.get("fused_to") != ONE2MANY,
        }
        args["one2many"] = args["nms"] = not (args["end2end"] and row.table.get("fused_to") == ONE2ONE)
        return Resolved(4 * reg_max + nc, args)

    def arguments(self, layer: Layer) -> list[Any]:
        """The classes; the rest is the table's."""
        return [layer.args["nc"]]

    def part(self, layer: Layer) -> Part:
        """Each branch of each level; boxes first."""
        args = layer.args
        boxes, classes = [], []
        for c_in in layer.c_in:
            boxes.append(plain_branch(c_in, args["box_hidden"], 4 * args["reg_max"]))
            branch = depthwise_branch if args["depthwise"] else plain_branch
            classes.append(branch(c_in, args["class_hidden"], args["nc"]))
        below = self.twice(layer, {**numbered("cv2", boxes), **numbered("cv3", classes)})
        return Part(below, attributes={name: args[name] for name in ("nc", "reg_max")})

    def twice(self, layer: Layer, branches: dict[str, Below]) -> dict[str, Below]:
        """Branches, and those of the one-to-one head if it is end-to-end, or only these."""
        again = {f"one2one_{name}": each for name, each in branches.items()}
        first = branches if layer.args["one2many"] else {}
        return {**first, **again} if layer.args["end2end"] else branches

    def levels(self, strides: Sequence[Fraction]) -> tuple[int, ...]:
        """One per input."""
        for stride in strides:
            if stride.denominator != 1 or stride > MAX_LEVEL_STRIDE:
                raise WeightsError(
                    f"the head reads a level of stride {stride}, not a whole one up to {MAX_LEVEL_STRIDE}."
                )
        return tuple(int(stride) for stride in strides)

    def constants(self, layer: Layer) -> Mapping[str, NDArray[Any]]:
        """The bins of the DFL, 0, 1, 2, ..., which is a convolution in the checkpoint; one bin needs none."""
        bins = layer.args["reg_max"]
        return {"dfl.conv.weight": np.arange(bins).reshape(1, -1, 1, 1)} if bins > 1 else {}

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:
        """What is needed to decode the head."""
        end2end = {"end2end": True} if layer.args["end2end"] else {}
        return {"reg_max": layer.args["reg_max"], "strides": list(strides), **end2end}

    def describe(self, layer: Layer) -> str:
        """Widths of both branches."""
        return f"hidden {layer.args['box_hidden']} and {layer.args['class_hidden']}"


@block("v10Detect")
class V10Detect(Detect):
    """YOLOv10's: always end-to-end, with depthwise class branches and 16 bins, whatever the table says."""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The rest is as in Detect."""
        table = {**row.table, "reg_max": 16, "end2end": True}
        c_out, args, _ = super().resolve(replace(row, table=table), given)
        return Resolved(c_out, {**args, "depthwise": True})


def light(modules: Sequence[Any]) -> bool:
    """Whether a Detect behind these blocks has depthwise class branches, by Ultralytics' rule."""
    return any(SPECS[module].light_head for module in modules if module in SPECS)


def plain_branch(c_in: int, hidden: int, c_out: int) -> Part:
    """Two 3x3 convolutions and a plain 1x1."""
    convolutions = numbered("", [conv(3, c_in, hidden), conv(3, hidden, hidden)])
    return Part({**convolutions, "2": Convolution(1, hidden, c_out)})


def depthwise_branch(c_in: int, hidden: int, c_out: int) -> Part:
    """The same with depthwise convolutions, each before a 1x1."""
    pairs = [Part(numbered("", [conv(3, c, c, depthwise=True), conv(1, c, hidden)])) for c in (c_in, hidden)]
    return Part({**numbered("", pairs), "2": Convolution(1, hidden, c_out)})
