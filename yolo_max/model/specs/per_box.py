"""The specs of heads that say more of each box: Segment, Pose, OBB, and YOLO26's forms of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from yolo_max.model.specs.heads import Detect, plain_branch
from yolo_max.model.specs.parts import Below, Convolution, Part, conv, numbered, transposed
from yolo_max.model.specs.row import MAX_CHANNELS, Argument, Row
from yolo_max.model.specs.spec import Layer, Resolved, block
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_KEYPOINTS = 1024
COUPLINGS = 6
"""Of RealNVP."""


class PerBox(Detect):
    """A detect head with one more branch at each level.

    ``args``: those of Detect; per_box, per_box_hidden.
    """

    def resolve_more(self, row: Row, given: Mapping[str, Any], per_box: int, least: int) -> Resolved:
        """A branch of ``per_box`` output channels, and at least ``least`` inside."""
        c_out, args, unported = super().resolve(row, given)
        hidden = max(row.c_in[0] // 4, least)
        return Resolved(c_out, {**args, "per_box": per_box, "per_box_hidden": hidden}, unported)

    def part(self, layer: Layer) -> Part:
        """The branches of Detect, then its own."""
        detect = super().part(layer)
        return detect._replace(below={**detect.below, **self.twice(layer, self.branches(layer))})

    def branches(self, layer: Layer) -> dict[str, Below]:
        """Its own branch at each level."""
        hidden, c_out = layer.args["per_box_hidden"], layer.args["per_box"]
        return {**numbered("cv4", [plain_branch(c_in, hidden, c_out) for c_in in layer.c_in])}


@block("Segment")
class Segment(PerBox):
    """Coefficients for each box, by which the prototypes add up to its mask.

    ``args``: those of `PerBox`; masks, the number of prototypes; prototype_hidden.
    """

    signature = (Argument("nc"), Argument("masks"), Argument("prototype_hidden"))
    scaled = (2,)
    task = "segment"
    outputs = ("head", "coefficients", "prototypes")
    per_cell = ("head", "coefficients")
    ultralytics_model = "SegmentationModel"

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The width of the prototypes' layers is scaled."""
        masks = row.integer(given["masks"], "prototypes", 1, MAX_CHANNELS)
        hidden = row.output_channels(given["prototype_hidden"])
        c_out, args, unported = self.resolve_more(row, given, masks, masks)
        return Resolved(c_out, {**args, "masks": masks, "prototype_hidden": hidden}, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """Classes, prototypes, their width."""
        return [layer.args[name] for name in ("nc", "masks", "prototype_hidden")]

    def part(self, layer: Layer) -> Part:
        """The prototypes too."""
        part, args = super().part(layer), layer.args
        sizes = {"nm": args["masks"], "npr": args["prototype_hidden"]}
        return part._replace(
            below={**part.below, "proto": self.prototypes(layer)}, attributes={**part.attributes, **sizes}
        )

    def prototypes(self, layer: Layer) -> Part:
        """From the finest map."""
        return prototypes(layer.c_in[0], layer.args["prototype_hidden"], layer.args["masks"])

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:
        """The number of prototypes too."""
        return {**super().facts(layer, strides), "masks": layer.args["masks"]}

    def describe(self, layer: Layer) -> str:
        """The prototypes too."""
        args = layer.args
        return f"{super().describe(layer)}, {args['masks']} prototypes of {args['prototype_hidden']}"


@block("Segment26")
class Segment26(Segment):
    """YOLO26's: the prototypes come from the maps of all levels."""

    only_in_training = ("proto.semseg",)

    def trained_only(self, layer: Layer) -> Part:
        """A semantic segmentation."""
        first, hidden = layer.c_in[0], layer.args["prototype_hidden"]
        below = numbered("proto.semseg", [conv(3, first, hidden), conv(3, hidden, hidden)])
        return Part({**below, "proto.semseg.2": Convolution(1, hidden, layer.args["nc"])})

    def levels(self, strides: Sequence[Any]) -> tuple[int, ...]:
        """Each map is half as wide as the one before, since it is enlarged to the first one."""
        levels = super().levels(strides)
        if any(coarse != 2 * fine for fine, coarse in itertools.pairwise(levels)):
            found = ", ".join(map(str, levels))
            raise WeightsError(f"the head reads levels of strides {found}, each not twice the one before.")
        return levels

    def prototypes(self, layer: Layer) -> Part:
        """The other maps, refined, are added to the finest one."""
        first, *others = layer.c_in
        hidden = layer.args["prototype_hidden"]
        part = prototypes(hidden, hidden, layer.args["masks"])
        refine = numbered("feat_refine", [conv(1, c_in, first) for c_in in others])
        below = {**part.below, **refine, "feat_fuse": conv(3, first, hidden)}
        return part._replace(below=below, kind="Proto26")


@block("Pose")
class Pose(PerBox):
    """Keypoints for each box.

    ``args``: those of `PerBox`; keypoints, their number; dimensions, 2 for (x, y), or 3 with a logit of
    visibility; doubled: a raw x stands for ``2 x`` cells from the left side of its cell, or, if not doubled,
    for ``x`` cells from its centre; y likewise.
    """

    signature = (Argument("nc"), Argument("kpt_shape"))
    task = "pose"
    outputs = per_cell = ("head", "keypoints")
    ultralytics_model = "PoseModel"
    doubled = True
    sigmas = 0
    """Numbers for each keypoint that only training needs."""

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """Their number is the table's, unless the row has its own."""
        shape = given["kpt_shape"]
        if not isinstance(shape, list | tuple) or len(shape) != 2:
            raise row.error(f"has kpt_shape {shorten(shape)}, which is not [keypoints, dimensions]")
        keypoints = row.integer(shape[0], "keypoints", 1, MAX_KEYPOINTS)
        dimensions = row.integer(shape[1], "dimensions of a keypoint", 2, 3)
        least = keypoints * (dimensions + self.sigmas)
        c_out, args, unported = self.resolve_more(row, given, keypoints * dimensions, least)
        more = {"keypoints": keypoints, "dimensions": dimensions, "doubled": self.doubled}
        return Resolved(c_out, {**args, **more}, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """Classes, number and dimensions of keypoints."""
        return [layer.args["nc"], [layer.args["keypoints"], layer.args["dimensions"]]]

    def part(self, layer: Layer) -> Part:
        """The number of keypoints too."""
        part, args = super().part(layer), layer.args
        shape = {"kpt_shape": (args["keypoints"], args["dimensions"]), "nk": args["per_box"]}
        return part._replace(attributes={**part.attributes, **shape})

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:
        """Number and dimensions of keypoints too."""
        shape = [layer.args["keypoints"], layer.args["dimensions"]]
        return {**super().facts(layer, strides), "kpt_shape": shape}

    def describe(self, layer: Layer) -> str:
        """The keypoints too."""
        return f"{super().describe(layer)}, {layer.args['keypoints']} keypoints"


@block("Pose26")
class Pose26(Pose):
    """YOLO26's: the last convolution stands apart, beside one for training."""

    only_in_training = ("flow_model", "cv4_sigma", "one2one_cv4_sigma")
    doubled = False
    sigmas = 2

    def trained_only(self, layer: Layer) -> Part:
        """The deviation of each coordinate, and a flow of couplings (RealNVP) that gives its likelihood."""
        deviations = self.sigmas * layer.args["keypoints"]
        last = Convolution(1, layer.args["per_box_hidden"], deviations)
        below = self.twice(layer, {f"cv4_sigma.{i}": last for i in range(len(layer.c_in))})
        sizes = enumerate(((2, 64), (64, 64), (64, 2)))
        net = Part({f"{2 * i}": Convolution(1, *each, kind="Linear") for i, each in sizes})
        nets = {name: each for part in "st" for name, each in numbered(part, [net] * COUPLINGS).items()}
        return Part({**below, "flow_model": Part(nets)})

    def branches(self, layer: Layer) -> dict[str, Below]:
        """Two 3x3 convolutions, and a plain 1x1."""
        hidden, c_out = layer.args["per_box_hidden"], layer.args["per_box"]
        features = [Part(numbered("", [conv(3, c, hidden), conv(3, hidden, hidden)])) for c in layer.c_in]
        last = {f"cv4_kpts.{i}": Convolution(1, hidden, c_out) for i in range(len(layer.c_in))}
        return {**numbered("cv4", features), **last}


@block("OBB")
class OBB(PerBox):
    """The angle of each box. ``args``: those of `PerBox`; angle_logit.

    With ``angle_logit`` the raw angle t stands for ``(sigmoid(t) - 1/4) * pi``; else it is in radians.
    """

    signature = (Argument("nc"), Argument("angles", 1, only=1))
    task = "obb"
    outputs = per_cell = ("head", "angle")
    ultralytics_model = "OBBModel"
    angle_logit = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """One angle for each box."""
        c_out, args, unported = self.resolve_more(row, given, 1, 1)
        return Resolved(c_out, {**args, "angle_logit": self.angle_logit}, unported)

    def arguments(self, layer: Layer) -> list[Any]:
        """Classes, angles."""
        return [layer.args["nc"], 1]

    def part(self, layer: Layer) -> Part:
        """The number of angles too."""
        part = super().part(layer)
        return part._replace(attributes={**part.attributes, "ne": 1})

    def facts(self, layer: Layer, strides: Sequence[int]) -> dict[str, Any]:
        """What the raw angle means too."""
        return {**super().facts(layer, strides), "angle_logit": bool(layer.args["angle_logit"])}


@block("OBB26")
class OBB26(OBB):
    """YOLO26's: the angle is in radians."""

    angle_logit = False


def prototypes(c_in: int, hidden: int, masks: int) -> Part:
    """A 3x3 convolution, upsampling by a transposed one, a 3x3 and a 1x1."""
    below: dict[str, Below] = {
        "cv1": conv(3, c_in, hidden),
        "upsample": transposed(hidden, hidden, 2),
        "cv2": conv(3, hidden, hidden),
        "cv3": conv(1, hidden, masks),
    }
    return Part(below, "Proto")
