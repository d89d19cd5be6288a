"""Blocks that Ultralytics' parser knows and the port does not: why, and how its map leaves them.

The rules are those of `parse_model` in ultralytics/nn/tasks.py; no other block's output is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from yolo_max.model.specs.row import MAX_CHANNELS, MAX_STRIDE, Scale, whole
from yolo_max.support.errors import WeightsError


class Unported(NamedTuple):
    """A block that is not ported.

    Attributes:
        why: The reason.
        channels: Where its output channels come from: the row's first argument, scaled; its second one, as it
            is; its input; or None if nothing says.
        stride: Input pixels per output pixel, or the position of the argument that has it.
        task: What its networks do, in Ultralytics' words, if it is a head.
    """

    why: str
    channels: Literal["scaled", "second", "input"] | None = None
    stride: int | Argument = 1
    task: str | None = None

    def output(self, arguments: Sequence[Any], c_in: int, scale: Scale) -> tuple[int, int]:
        """Channels of its output, 0 if unknown, and its stride, 0 if unknown."""
        try:
            if self.channels == "scaled":
                channels = scale.channels(_number(arguments, 0, MAX_CHANNELS))
            elif self.channels == "second":
                channels = _number(arguments, 1, MAX_CHANNELS)
            else:
                channels = c_in if self.channels else 0
            stride = self.stride
            if isinstance(stride, Argument):
                given = stride.position < len(arguments)
                stride = _number(arguments, stride.position, MAX_STRIDE) if given else stride.default
        except WeightsError:
            return 0, 0
        return channels, stride if channels else 0


class Argument(NamedTuple):
    """An argument of a row by its position, and its value if it is left out."""

    position: int
    default: int


def _number(arguments: Sequence[Any], position: int, limit: int) -> int:
    return whole(arguments[position] if position < len(arguments) else None, "argument", 1, limit)


_TEXT = "its classes are text embeddings that are given at run time"
_GHOST = "no official weights use ghost convolutions"
_SERVER = "PP-HGNet's, of RT-DETR only"
_RESNET = "a ResNet, whose blocks are torchvision's"

UNPORTED: dict[str, Unported] = {
    "RTDETRDecoder": Unported("a transformer decoder with deformable attention", task="detect"),
    "AIFI": Unported("a transformer encoder, of RT-DETR only", "input"),
    "RepC3": Unported("of RT-DETR only", "scaled"),
    "HGStem": Unported(_SERVER, "second", 4),
    "HGBlock": Unported(_SERVER, "second"),
    "WorldDetect": Unported(_TEXT, task="detect"),
    "YOLOEDetect": Unported(_TEXT, task="detect"),
    "YOLOESegment": Unported(_TEXT, task="segment"),
    "YOLOESegment26": Unported(_TEXT, task="segment"),
    "C2fAttn": Unported("it attends to text embeddings", "scaled"),
    "ImagePoolingAttn": Unported("it updates text embeddings"),
    "GhostConv": Unported(_GHOST, "scaled", Argument(2, 1)),
    "GhostBottleneck": Unported(_GHOST, "scaled", Argument(2, 1)),
    "C3Ghost": Unported(_GHOST, "scaled"),
    "DWConv": Unported("of RT-DETR only", "scaled", Argument(2, 1)),
    "ResNetLayer": Unported(_RESNET),
    "TorchVision": Unported(_RESNET),
    "SemanticSegment": Unported("semantic segmentation is not a task here", task="semantic"),
    "Depth": Unported("depth estimation is not a task here", task="depth"),
}
