"""YOLOv9e's composite backbone: CBLinear gives maps of a first one, which CBFuse adds to the second."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend
from yolo_max.model.max_nn import Module


class MaxCBLinear(Module):
    """A 1x1 convolution; its channels are several maps, one after the other."""

    def __init__(self, backend: Backend, c1: int, c2: int) -> None:
        super().__init__()
        self.conv = backend.conv2d(c1, c2, 1, 1, 0, depthwise=False, activation=Activation.NONE)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, sum of all maps' channels]``."""
        return self.conv(x)


class MaxCBFuse(Module):
    """The sum of a map and of one map of each CBLinear, enlarged to it."""

    def __init__(self, backend: Backend, c: int, starts: Sequence[int]) -> None:
        """``starts`` has the first channel of the chosen map in each input but the last; all have ``c``."""
        super().__init__()
        self.backend = backend
        self.c, self.starts = c, starts

    def __call__(self, *maps: FeatureMap) -> FeatureMap:
        """Maps, each half as wide as the one before, and one as wide as the first ``-> [B, H, W, c]``."""
        *others, total = maps
        chosen = [each.take(start, self.c) for each, start in zip(others, self.starts, strict=True)]
        enlarged = chosen.pop()
        while chosen:  # from the coarsest map on, so that each sum is enlarged by two
            enlarged = self.backend.add(chosen.pop(), enlarged.upsample())
        return self.backend.add(enlarged, total)
