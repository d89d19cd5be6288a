"""The specs of the heads: Classify, Detect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.specs.row import Argument, Row, whole
from yolo_max.model.specs.spec import Convolution, HeadSpec, Layer, Resolved, SavedModule, block, pairs
from yolo_max.support.errors import WeightsError

CLASSIFY_HIDDEN = 1280
MAX_REG_MAX = 64
MAX_LEVEL_STRIDE = 1024


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

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """The convolution, and the linear layer as one."""
        hidden = layer.args["hidden"]
        yield Convolution("conv.conv", 1, layer.c_in[0], hidden)
        yield Convolution("linear", 1, hidden, layer.args["nc"], kind="Linear")

    def saved(self, layer: Layer) -> Iterator[SavedModule]:  # noqa: ARG002
        """The pool; the dropout after it acts only in training."""
        yield SavedModule("pool", "AdaptiveAvgPool2d", pairs(output_size=1))

    def describe(self, layer: Layer) -> str:
        """Width."""
        return f"hidden {layer.args['hidden']}"


@block("Detect")
class Detect(HeadSpec):
    """At each level, a branch for the box and one for the classes.

    ``args``: nc; reg_max, the bins of the box distribution (DFL) per side; box_hidden, class_hidden.
    """

    signature = (Argument("nc"),)
    joins = True
    task = "detect"
    outputs = per_cell = ("head",)
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
        }
        return Resolved(4 * reg_max + nc, args)

    def arguments(self, layer: Layer) -> list[Any]:
        """The classes; the bins are the table's."""
        return [layer.args["nc"]]

    def convolutions(self, layer: Layer) -> Iterator[Convolution]:
        """Two 3x3 and a plain 1x1 convolution for each branch of each level; boxes first."""
        args = layer.args
        box = ("cv2", args["box_hidden"], 4 * args["reg_max"])
        classes = ("cv3", args["class_hidden"], args["nc"])
        for branch, hidden, last in (box, classes):
            for level, c_in in enumerate(layer.c_in):
                yield Convolution(f"{branch}.{level}.0.conv", 3, c_in, hidden)
                yield Convolution(f"{branch}.{level}.1.conv", 3, hidden, hidden)
                yield Convolution(f"{branch}.{level}.2", 1, hidden, last)

    def levels(self, strides: Sequence[Fraction]) -> tuple[int, ...]:
        """One per input."""
        for stride in strides:
            if stride.denominator != 1 or stride > MAX_LEVEL_STRIDE:
                raise WeightsError(
                    f"the head reads a level of stride {stride}, not a whole one up to {MAX_LEVEL_STRIDE}."
                )
        return tuple(int(stride) for stride in strides)

    def saved(self, layer: Layer) -> Iterator[SavedModule]:
        """Classes and bins."""
        yield SavedModule("", "Detect", {name: layer.args[name] for name in ("nc", "reg_max")})

    def constants(self, layer: Layer) -> Mapping[str, NDArray[Any]]:
        """The bins of the DFL, 0, 1, 2, ..., which is a convolution in the checkpoint."""
        return {"dfl.conv.weight": np.arange(layer.args["reg_max"]).reshape(1, -1, 1, 1)}

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:
        """What is needed to decode the head."""
        return {"reg_max": layer.args["reg_max"], "strides": list(strides)}

    def describe(self, layer: Layer) -> str:
        """Widths of both branches."""
        return f"hidden {layer.args['box_hidden']} and {layer.args['class_hidden']}"
