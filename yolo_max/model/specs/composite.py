"""The specs of YOLOv9e's composite backbone: CBLinear, CBFuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from yolo_max.model.specs.parts import Convolution, Part
from yolo_max.model.specs.row import MAX_CHANNELS, Argument, Row
from yolo_max.model.specs.spec import BlockSpec, Layer, Resolved, block
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_MAPS = 16


@block("CBLinear")
class CBLinear(BlockSpec):
    """A 1x1 convolution whose output is several maps, for CBFuse to choose from.

    ``args``: maps, their number; channels_<i>.
    """

    signature = (
        Argument("channels"),
        Argument("kernel", 1, only=1),
        Argument("stride", 1, only=1),
        Argument("padding", None, only=None),
        Argument("groups", 1, only=1),
    )

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """The channels are not scaled."""
        if row.repeats > 1:
            raise row.error(f"is repeated {row.repeats} times, but its output is several maps")
        channels = given["channels"]
        if not isinstance(channels, list | tuple) or not 0 < len(channels) <= MAX_MAPS:
            raise row.error(f"has channels {shorten(channels)}, which is not a list of 1 to {MAX_MAPS}")
        args = {
            f"channels_{i}": row.integer(each, "channels", 1, MAX_CHANNELS) for i, each in enumerate(channels)
        }
        total = row.integer(sum(args.values()), "channels of all maps", 1, MAX_CHANNELS)
        return Resolved(total, {"maps": len(args), **args})

    def maps(self, layer: Layer) -> tuple[int, ...]:
        """As the row gives them."""
        return tuple(layer.args[f"channels_{i}"] for i in range(layer.args["maps"]))

    def arguments(self, layer: Layer) -> list[Any]:
        """The channels of each map."""
        return [[*layer.maps]]

    def part(self, layer: Layer) -> Part:
        """One convolution, with a bias."""
        conv = Convolution(1, layer.c_in[0], layer.c_out, bias=True)
        return Part({"conv": conv}, attributes={"c2s": layer.maps})

    def describe(self, layer: Layer) -> str:
        """The channels of each map."""
        return f"maps of {', '.join(map(str, layer.maps))}"


@block("CBFuse")
class CBFuse(BlockSpec):
    """The sum of its last input and of one map of each other, enlarged to it.

    ``args``: index_<i>, which map of the i-th input; start_<i>, its first channel among all of that input.
    """

    signature = (Argument("indices"),)
    joins = True
    takes_maps = True

    def resolve(self, row: Row, given: Mapping[str, Any]) -> Resolved:
        """All of one width."""
        indices, c_out = given["indices"], row.c_in[-1]
        if not isinstance(indices, list | tuple) or len(indices) != len(row.c_in) - 1 or not indices:
            raise row.error(f"has {shorten(indices)}, not an index for each input but the last")
        if row.maps[-1]:
            raise row.error("adds to one map, but its last input is several")
        args: dict[str, int] = {}
        for i, (each, maps, c_in) in enumerate(zip(indices, row.maps, row.c_in, strict=False)):
            if not maps and c_in:
                raise row.error(f"chooses from the maps of its input {i}, which is a single one")
            index = row.integer(each, f"index of input {i}", 0, len(maps) - 1 if maps else MAX_MAPS)
            if maps and c_out and maps[index] != c_out:
                raise row.error(f"adds {maps[index]} channels of its input {i} to {c_out}")
            args |= {f"index_{i}": index, f"start_{i}": sum(maps[:index])}
        return Resolved(c_out, args)

    def arguments(self, layer: Layer) -> list[Any]:
        """The indices."""
        return [[layer.args[f"index_{i}"] for i in range(len(layer.from_) - 1)]]

    def part(self, layer: Layer) -> Part:
        """The indices."""
        return Part(attributes={"idx": tuple(*self.arguments(layer))})

    def common_stride(self, layer: Layer, strides: Sequence[Fraction]) -> Fraction:
        """That of its last input, and of its first; each other one is half as wide as the one before."""
        *others, target = strides
        if others != [target * 2**i for i in range(len(others))]:
            found = ", ".join(map(str, strides))
            raise WeightsError(
                f"layer {layer.index} ({layer.module}) of the architecture table adds up maps of strides "
                f"{found}; the first and the last must be equal, and each other twice the one before."
            )
        return target

    def describe(self, layer: Layer) -> str:
        """The indices."""
        return f"maps {', '.join(str(each) for each in self.arguments(layer)[0])}"


def starts(layer: Layer) -> list[int]:
    """The first channel of the map that is chosen of each input of a CBFuse but the last."""
    return [layer.args[f"start_{i}"] for i in range(len(layer.from_) - 1)]
