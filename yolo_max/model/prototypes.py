"""The prototypes of masks: Proto, and YOLO26's Proto26."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend
from yolo_max.model.blocks import MaxConv
from yolo_max.model.max_nn import LayerList, Module


class MaxProto(Module):
    """A 3x3 convolution, upsampling by a transposed one, a 3x3 and a 1x1."""

    def __init__(self, backend: Backend, c1: int, hidden: int, masks: int) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden, 3)
        self.upsample = backend.conv_transpose2d(hidden, hidden, 2)
        self.cv2 = MaxConv(backend, hidden, hidden, 3)
        self.cv3 = MaxConv(backend, hidden, masks)

    def __call__(self, x: FeatureMap, *_: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, 2H, 2W, masks]``; the coarser maps are not read."""
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))


class MaxProto26(MaxProto):
    """The same on the sum of all maps, each refined by a 1x1 convolution and enlarged to the first one."""

    def __init__(self, backend: Backend, channels: Sequence[int], hidden: int, masks: int) -> None:
        super().__init__(backend, hidden, hidden, masks)
        self.backend = backend
        self.feat_refine = LayerList([MaxConv(backend, c, channels[0]) for c in channels[1:]])
        self.feat_fuse = MaxConv(backend, channels[0], hidden, 3)

    def __call__(self, x: FeatureMap, *coarser: FeatureMap) -> FeatureMap:
        """Maps, each half as wide as the one before ``-> [B, 2H, 2W, masks]``."""
        total: FeatureMap | None = None
        # From the coarsest map on, so that each sum is enlarged by two.
        for refine, each in zip(reversed(self.feat_refine.layers), reversed(coarser), strict=True):
            total = refine(each, residual=total and total.upsample())
        if total is not None:
            x = self.backend.add(x, total.upsample())
        return super().__call__(self.feat_fuse(x))
