"""YOLOv8's blocks, as ``ultralytics.nn.modules`` has them: Conv, Bottleneck, C2f, SPPF; and C3 of YOLOv5.

Attribute names are the checkpoint's (``cv1``, ``m``, ``conv``), so that the path of a weight in this tree is
its key in the checkpoint. BatchNorm is folded into the convolution when weights are converted;
``split`` and ``concat`` are views (see ``feature_map.py``), read by the next convolution.
"""

from __future__ import annotations

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, concat
from yolo_max.model.backend import Backend, Candidates
from yolo_max.model.max_nn import LayerList, Module, Sequential


class MaxConv(Module):
    """Convolution, folded BatchNorm, SiLU: ``[B, H, W, c1] -> [B, H / s, W / s, c2]``."""

    def __init__(self, backend: Backend, c1: int, c2: int, k: int = 1, s: int = 1) -> None:
        super().__init__()
        self.conv = backend.conv2d(c1, c2, k, s, activation=Activation.SILU)

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """Convolves ``x``; ``residual`` is added after the SiLU, in the same kernel."""
        return self.conv(x, residual, only)


class MaxBottleneck(Module):
    """Two convolutions, ``k`` x ``k`` and 3x3; adds the input if ``shortcut`` and the widths match."""

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, shortcut: bool, k: int = 3) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden, k)
        self.cv2 = MaxConv(backend, hidden, c2, 3)
        self.add = shortcut and c1 == c2

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        return self.cv2(self.cv1(x), residual=x if self.add else None)


class MaxC2f(Module):
    """Cross-stage partial bottleneck with two convolutions, the fast form.

    The output of a 1x1 convolution is split in two; ``n`` bottlenecks follow the second half in a chain; a
    1x1 convolution reads both halves and every bottleneck's output.
    """

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, n: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, 2 * hidden)
        self.cv2 = MaxConv(backend, (2 + n) * hidden, c2)
        self.m = LayerList([MaxBottleneck(backend, hidden, hidden, hidden, shortcut) for _ in range(n)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = list(self.cv1(x).split(2))
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        return self.cv2(concat(parts))


class MaxC3(Module):
    """Cross-stage partial bottleneck with three convolutions, YOLOv5's main block.

    One 1x1 convolution leads into ``n`` bottlenecks, one bypasses them, and one reads both. Unlike those of
    `MaxC2f`, the bottlenecks begin with a 1x1 convolution.
    """

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, n: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv2 = MaxConv(backend, c1, hidden)
        self.cv3 = MaxConv(backend, 2 * hidden, c2)
        self.m = Sequential([MaxBottleneck(backend, hidden, hidden, hidden, shortcut, k=1) for _ in range(n)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        return self.cv3(concat([self.m(self.cv1(x)), self.cv2(x)]))


class MaxSPPF(Module):
    """Spatial pyramid pooling, the fast form: three chained max-pools see 5, 9 and 13 pixels."""

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, k: int = 5) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv2 = MaxConv(backend, hidden * 4, c2)
        self.backend = backend
        self.k = k

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.backend.max_pool(parts[-1], self.k))
        return self.cv2(concat(parts))


class MaxUpsample(Module):
    """``nn.Upsample(scale_factor=2, mode="nearest")``: a view, each pixel standing for 2 x 2."""

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, 2H, 2W, c]``."""
        return x.upsample()


class MaxConcat(Module):
    """Concatenation of maps along the channels: a view."""

    def __call__(self, *maps: FeatureMap) -> FeatureMap:
        """Maps of one height and width ``-> [B, H, W, sum of channels]``."""
        return concat(maps)
