"""PyTorch's own layers in tables: nn.Upsample, nn.Identity, nn.MaxPool2d, nn.ZeroPad2d.

An nn.ConvTranspose2d is the backend's own module.
"""

from __future__ import annotations

from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend
from yolo_max.model.max_nn import Module


class MaxUpsample(Module):
    """``nn.Upsample(scale_factor=2, mode="nearest")``: a view, each pixel standing for 2 x 2."""

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, 2H, 2W, c]``."""
        return x.upsample()


class MaxIdentity(Module):
    """Its input: what several rows read."""

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        return x


class MaxMaxPool(Module):
    """Max-pools ``k`` x ``k`` windows with stride ``s`` and padding ``p`` of minus infinity."""

    def __init__(self, backend: Backend, k: int, s: int, p: int) -> None:
        super().__init__()
        self.backend = backend
        self.k, self.s, self.p = k, s, p

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, (H + 2p - k) / s + 1, (W + 2p - k) / s + 1, c]``."""
        return self.backend.max_pool(x, self.k, self.s, self.p)


class MaxZeroPad(Module):
    """Adds zeros around a map."""

    def __init__(self, backend: Backend, left: int, right: int, top: int, bottom: int) -> None:
        super().__init__()
        self.backend = backend
        self.sides = left, right, top, bottom

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, top + H + bottom, left + W + right, c]``."""
        return self.backend.zero_pad(x, *self.sides)
