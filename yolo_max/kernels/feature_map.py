"""What flows between convolutions: a feature map, held as a view.

Networks split channels, concatenate maps and double them by nearest neighbour. None of that computes
anything, so ``split``, ``concat`` and ``upsample`` only record which channels of which tensors make up the
map, and copy nothing. The next convolution reads the view.

Every tensor is NHWC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from max.dtype import DType
from max.graph import Dim, TensorValue, ops


@dataclass(frozen=True)
class ChannelSlice:
    """Channels ``start .. start + channels`` of one NHWC tensor, at its own or doubled size (nearest).

    Attributes:
        tensor: ``[batch, height, width, c]`` with ``c >= start + channels``.
        start: First channel.
        channels: Number of channels.
        doubled: Whether each pixel stands for 2 x 2 pixels of the map.
    """

    tensor: TensorValue
    start: int
    channels: int
    doubled: bool = False

    @property
    def whole(self) -> bool:
        """Whether the slice is the tensor itself."""
        return not self.doubled and self.start == 0 and self.tensor.shape[3] == self.channels

    def continues(self, other: ChannelSlice) -> bool:
        """Whether this slice begins in the same tensor where ``other`` ends."""
        return (
            self.tensor is other.tensor
            and self.doubled == other.doubled
            and self.start == other.start + other.channels
        )


@dataclass(frozen=True)
class FeatureMap:
    """A feature map ``[batch, height, width, channels]`` made of channel slices, one after the other."""

    slices: tuple[ChannelSlice, ...]

    @classmethod
    def of(cls, tensor: TensorValue) -> FeatureMap:
        """A map of a whole NHWC tensor."""
        return cls((ChannelSlice(tensor, 0, int(tensor.shape[3])),))

    @property
    def channels(self) -> int:
        """Number of channels of the map."""
        return sum(part.channels for part in self.slices)

    @property
    def dtype(self) -> DType:
        """Element type of the tensors behind the map."""
        return self.slices[0].tensor.dtype

    @property
    def size(self) -> tuple[Dim, Dim, Dim]:
        """Batch, height and width of the map, after doubling; each may be symbolic.

        Taken from a slice that is not doubled if possible: its dimensions are simpler expressions.
        """
        part = min(self.slices, key=lambda part: part.doubled)
        batch, height, width, _ = part.tensor.shape
        return (batch, height * 2, width * 2) if part.doubled else (batch, height, width)

    def split(self, parts: int) -> tuple[FeatureMap, ...]:
        """Cuts the channels into ``parts`` equal parts, as ``torch.chunk`` does for a divisible count."""
        if self.channels % parts:
            raise ValueError(f"{self.channels} channels cannot be split into {parts} equal parts.")
        width = self.channels // parts
        return tuple(self.take(i * width, width) for i in range(parts))

    def take(self, start: int, channels: int) -> FeatureMap:
        """Channels ``start .. start + channels`` of the map."""
        taken = []
        position = 0
        for part in self.slices:
            first, last = max(start, position), min(start + channels, position + part.channels)
            if first < last:
                taken.append(replace(part, start=part.start + first - position, channels=last - first))
            position += part.channels
        return FeatureMap(tuple(taken))

    def upsample(self) -> FeatureMap:
        """The map at twice its height and width, each pixel repeated (nearest neighbour)."""
        if any(part.doubled for part in self.slices):
            raise ValueError("A map that is already doubled must pass through a convolution first.")
        return FeatureMap(tuple(replace(part, doubled=True) for part in self.slices))


def concat(maps: Iterable[FeatureMap]) -> FeatureMap:
    """Concatenates the channels of maps; adjacent slices are joined."""
    joined: list[ChannelSlice] = []
    for part in (part for each in maps for part in each.slices):
        if joined and part.continues(joined[-1]):
            joined[-1] = replace(joined[-1], channels=joined[-1].channels + part.channels)
        else:
            joined.append(part)
    return FeatureMap(tuple(joined))


def materialise(x: FeatureMap) -> TensorValue:
    """Copies a view into one NHWC tensor of the same type."""
    parts = [_materialise_slice(part) for part in x.slices]
    if len(parts) == 1:
        return parts[0]
    # Equal symbolic sizes may look different: (h // 2) * 2 and h.
    return ops.concat([part.rebind([*x.size, part.shape[3]]) for part in parts], axis=3)


def _materialise_slice(part: ChannelSlice) -> TensorValue:
    if part.whole:
        return part.tensor
    tensor = part.tensor[:, :, :, part.start : part.start + part.channels]
    return _double(tensor) if part.doubled else tensor


def _double(x: TensorValue) -> TensorValue:
    """Repeats every pixel as 2 x 2 pixels."""
    batch, height, width, channels = x.shape
    spread = ops.broadcast_to(
        ops.reshape(x, [batch, height, 1, width, 1, channels]), [batch, height, 2, width, 2, channels]
    )
    return ops.reshape(spread, [batch, height * 2, width * 2, channels])
