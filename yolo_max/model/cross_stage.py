"""Cross-stage partial blocks: C2, C2f, C3; C3k2 of YOLO11, C2fCIB of YOLOv10, A2C2f of YOLO12.

The channels take two ways: one leads through a chain of inner blocks, one past it.
"""

from __future__ import annotations

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, concat
from yolo_max.model.attention import MaxABlock, MaxPSABlock
from yolo_max.model.backend import Backend
from yolo_max.model.blocks import MaxBottleneck, MaxConv
from yolo_max.model.max_nn import LayerList, Module, Sequential


class MaxC2(Module):
    """With two convolutions: ``n`` bottlenecks follow the first half of a 1x1 convolution's channels."""

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, n: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, 2 * hidden)
        self.cv2 = MaxConv(backend, 2 * hidden, c2)
        self.m = Sequential([MaxBottleneck(backend, hidden, hidden, hidden, shortcut) for _ in range(n)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        a, b = self.cv1(x).split(2)
        return self.cv2(concat([self.m(a), b]))


class MaxC2f(Module):
    """Cross-stage partial bottleneck with two convolutions, the fast form.

    The output of a 1x1 convolution is split in two; ``n`` inner blocks follow the second half in a chain; a
    1x1 convolution reads both halves and every inner block's output.
    """

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, n: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, 2 * hidden)
        self.cv2 = MaxConv(backend, (2 + n) * hidden, c2)
        self.m = LayerList([self.inner(backend, hidden, shortcut) for _ in range(n)])

    def inner(self, backend: Backend, c: int, shortcut: bool) -> Module:
        """An inner block of ``c`` channels: a bottleneck."""
        return MaxBottleneck(backend, c, c, c, shortcut)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = list(self.cv1(x).split(2))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(concat(parts))


class MaxC3(Module):
    """Cross-stage partial bottleneck with three convolutions, YOLOv5's main block.

    One 1x1 convolution leads into ``n`` bottlenecks, one bypasses them, and one reads both. The bottlenecks
    begin with a convolution of ``k`` x ``k``: 1x1 in a C3, 3x3 in the C3k of a C3k2.
    """

    def __init__(
        self, backend: Backend, c1: int, c2: int, hidden: int, n: int, shortcut: bool, k: int = 1
    ) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv2 = MaxConv(backend, c1, hidden)
        self.cv3 = MaxConv(backend, 2 * hidden, c2)
        self.m = Sequential([self.inner(backend, hidden, shortcut, k) for _ in range(n)])

    def inner(self, backend: Backend, c: int, shortcut: bool, k: int) -> Module:
        """An inner block of ``c`` channels: a bottleneck."""
        return MaxBottleneck(backend, c, c, c, shortcut, k)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        return self.cv3(concat([self.m(self.cv1(x)), self.cv2(x)]))


class MaxC3k2(MaxC2f):
    """C2f whose inner blocks are narrow bottlenecks, C3k, or a narrow bottleneck and attention."""

    def __init__(
        self,
        backend: Backend,
        c1: int,
        c2: int,
        hidden: int,
        n: int,
        shortcut: bool,
        *,
        c3k: bool,
        attention: bool,
    ) -> None:
        self.c3k, self.attention = c3k, attention
        super().__init__(backend, c1, c2, hidden, n, shortcut)

    def inner(self, backend: Backend, c: int, shortcut: bool) -> Module:
        """An inner block of ``c`` channels."""
        if self.attention:
            return Sequential([MaxBottleneck(backend, c, c, c // 2, shortcut), MaxPSABlock(backend, c)])
        if self.c3k:
            return MaxC3(backend, c, c, c // 2, 2, shortcut, k=3)
        return MaxBottleneck(backend, c, c, c // 2, shortcut)


class MaxA2C2f(Module):
    """C2f without the half that passes by; inside are pairs of area attention blocks, or C3k."""

    def __init__(
        self,
        backend: Backend,
        c1: int,
        c2: int,
        hidden: int,
        n: int,
        shortcut: bool,
        *,
        areas: int,
        mlp_hidden: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv2 = MaxConv(backend, (1 + n) * hidden, c2)

        def inner() -> Module:
            if areas:
                return Sequential([MaxABlock(backend, hidden, mlp_hidden, areas) for _ in range(2)])
            return MaxC3(backend, hidden, hidden, hidden // 2, 2, shortcut, k=3)

        self.m = LayerList([inner() for _ in range(n)])
        self.gamma = None
        if residual:  # a factor for each channel is a depthwise convolution of one pixel
            self.gamma = backend.conv2d(c2, c2, 1, 1, 0, depthwise=True, activation=Activation.NONE)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = [self.cv1(x)]
        for block in self.m:
            parts.append(block(parts[-1]))
        y = self.cv2(concat(parts))
        return y if self.gamma is None else self.gamma(y, residual=x)


class MaxC2fCIB(MaxC2f):
    """C2f whose inner blocks are YOLOv10's compact inverted ones."""

    def __init__(
        self,
        backend: Backend,
        c1: int,
        c2: int,
        hidden: int,
        n: int,
        shortcut: bool,
        *,
        large_kernel: bool,
    ) -> None:
        self.large_kernel = large_kernel
        super().__init__(backend, c1, c2, hidden, n, shortcut)

    def inner(self, backend: Backend, c: int, shortcut: bool) -> Module:
        """An inner block of ``c`` channels."""
        return MaxCIB(backend, c, shortcut, self.large_kernel)


class MaxCIB(Module):
    """Depthwise convolutions around 1x1 ones, with twice the channels in the middle."""

    def __init__(self, backend: Backend, c: int, shortcut: bool, large_kernel: bool) -> None:
        super().__init__()
        wide = 2 * c
        middle: Module = MaxRepVGGDW(backend, wide)
        if not large_kernel:
            middle = MaxConv(backend, wide, wide, 3, depthwise=True)
        self.cv1 = LayerList(
            [
                MaxConv(backend, c, c, 3, depthwise=True),
                MaxConv(backend, c, wide),
                middle,
                MaxConv(backend, wide, c),
                MaxConv(backend, c, c, 3, depthwise=True),
            ]
        )
        self.add = shortcut

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        *before, last = self.cv1
        y = x
        for conv in before:
            y = conv(y)
        out: FeatureMap = last(y, residual=x if self.add else None)
        return out


class MaxRepVGGDW(Module):
    """A depthwise 7x7 convolution; in training it has a 3x3 beside it."""

    def __init__(self, backend: Backend, c: int) -> None:
        super().__init__()
        self.conv = backend.conv2d(c, c, 7, 1, 3, depthwise=True, activation=Activation.SILU)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        return self.conv(x)
