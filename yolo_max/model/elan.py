"""YOLOv9's blocks: RepNCSPELAN4 and ELAN1; AConv and ADown, which halve maps; SPPELAN."""

from __future__ import annotations

from collections.abc import Callable

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, concat
from yolo_max.model.backend import Backend
from yolo_max.model.blocks import MaxBottleneck, MaxConv
from yolo_max.model.cross_stage import MaxC3
from yolo_max.model.max_nn import Module, Sequential


class MaxElan(Module):
    """A chain of two blocks follows the second half of a 1x1 convolution's channels; a 1x1 reads all four."""

    def __init__(
        self, backend: Backend, c1: int, c2: int, outer: int, inner: int, link: Callable[[int], Module]
    ) -> None:
        """``link`` makes a block of the chain with ``inner`` output channels from those of its input."""
        super().__init__()
        self.cv1 = MaxConv(backend, c1, outer)
        self.cv2, self.cv3 = link(outer // 2), link(inner)
        self.cv4 = MaxConv(backend, outer + 2 * inner, c2)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        a, b = self.cv1(x).split(2)
        c = self.cv2(b)
        return self.cv4(concat([a, b, c, self.cv3(c)]))


class MaxRepLink(Sequential):
    """A link of RepNCSPELAN4's chain: a C3 of half the width, and a 3x3 convolution."""

    def __init__(self, backend: Backend, c1: int, c2: int, n: int) -> None:
        super().__init__([MaxRepCSP(backend, c1, c2, c2 // 2, n, True), MaxConv(backend, c2, c2, 3)])


class MaxRepCSP(MaxC3):
    """C3 whose bottlenecks begin with a reparameterised convolution."""

    def inner(self, backend: Backend, c: int, shortcut: bool, k: int) -> Module:  # noqa: ARG002
        """An inner block of ``c`` channels."""
        block = MaxBottleneck(backend, c, c, c, shortcut)
        block.cv1 = MaxRepConv(backend, c, c)
        return block


class MaxRepConv(Module):
    """A 3x3 convolution; in training it has a 1x1 beside it."""

    def __init__(self, backend: Backend, c1: int, c2: int) -> None:
        super().__init__()
        self.conv = backend.conv2d(c1, c2, 3, 1, 1, depthwise=False, activation=Activation.SILU)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        return self.conv(x)


class MaxAConv(Module):
    """The means of 2x2 pixels, then a 3x3 convolution of stride 2."""

    def __init__(self, backend: Backend, c1: int, c2: int) -> None:
        super().__init__()
        self.backend = backend
        self.cv1 = MaxConv(backend, c1, c2, 3, 2)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H / 2, W / 2, c2]``."""
        return self.cv1(self.backend.average_pool(x, 2))


class MaxADown(Module):
    """The same for half of the channels; the others take a 3x3 max-pool of stride 2 and a 1x1 convolution."""

    def __init__(self, backend: Backend, c1: int, c2: int) -> None:
        super().__init__()
        self.backend = backend
        self.cv1 = MaxConv(backend, c1 // 2, c2 // 2, 3, 2)
        self.cv2 = MaxConv(backend, c1 // 2, c2 // 2)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H / 2, W / 2, c2]``."""
        a, b = self.backend.average_pool(x, 2).split(2)
        return concat([self.cv1(a), self.cv2(self.backend.max_pool(b, 3, 2))])


class MaxSPPELAN(Module):
    """Three chained max-pools between two 1x1 convolutions."""

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, k: int) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv5 = MaxConv(backend, 4 * hidden, c2)
        self.backend = backend
        self.k = k

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.backend.max_pool(parts[-1], self.k))
        return self.cv5(concat(parts))
