"""Plain blocks, as in ``ultralytics.nn.modules``: Conv, SCDown, Bottleneck, SPP, SPPF, Concat.

Attribute names are the checkpoint's (``cv1``, ``m``, ``conv``), so that the path of a weight in this tree is
its key in the checkpoint. BatchNorm is folded into the convolution when weights are converted;
``split`` and ``concat`` are views (see ``feature_map.py``), read by the next convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, concat
from yolo_max.model.backend import Backend, Candidates
from yolo_max.model.max_nn import Module


class MaxConv(Module):
    """Convolution, folded BatchNorm, activation: ``[B, H, W, c1] -> [B, H / s, W / s, c2]``.

    The activation is the network's, unless it has its own.
    """

    def __init__(
        self,
        backend: Backend,
        c1: int,
        c2: int,
        k: int = 1,
        s: int = 1,
        p: int | None = None,
        *,
        depthwise: bool = False,
        activation: Activation | None = None,
    ) -> None:
        super().__init__()
        padding = k // 2 if p is None else p
        activation = backend.activation if activation is None else activation
        self.conv = backend.conv2d(c1, c2, k, s, padding, depthwise=depthwise, activation=activation)

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """Convolves ``x``; ``residual`` is added after the activation, in the same kernel."""
        return self.conv(x, residual, only)


class MaxSCDown(Module):
    """A 1x1 convolution, then a depthwise one with stride ``s``, without activation."""

    def __init__(self, backend: Backend, c1: int, c2: int, k: int, s: int) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, c2)
        self.cv2 = MaxConv(backend, c2, c2, k, s, depthwise=True, activation=Activation.NONE)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H / s, W / s, c2]``."""
        y: FeatureMap = self.cv2(self.cv1(x))
        return y


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


class MaxSPP(Module):
    """Spatial pyramid pooling: max-pools of several sizes side by side, and the map itself."""

    def __init__(self, backend: Backend, c1: int, c2: int, hidden: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden)
        self.cv2 = MaxConv(backend, hidden * (1 + len(kernels)), c2)
        self.backend = backend
        self.kernels = kernels

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        y = self.cv1(x)
        return self.cv2(concat([y, *(self.backend.max_pool(y, k) for k in self.kernels)]))


class MaxSPPF(Module):
    """The fast form: ``n`` chained max-pools; three of 5 pixels see 5, 9 and 13.

    YOLO26's has no activation before the pools, and a shortcut if the widths match.
    """

    def __init__(
        self,
        backend: Backend,
        c1: int,
        c2: int,
        hidden: int,
        k: int = 5,
        n: int = 3,
        *,
        activation: Activation | None = None,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c1, hidden, activation=activation)
        self.cv2 = MaxConv(backend, hidden * (1 + n), c2)
        self.backend = backend
        self.k, self.n = k, n
        self.add = shortcut and c1 == c2

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, c2]``."""
        parts = [self.cv1(x)]
        for _ in range(self.n):
            parts.append(self.backend.max_pool(parts[-1], self.k))
        return self.cv2(concat(parts), residual=x if self.add else None)


class MaxConcat(Module):
    """Concatenation of maps along the channels: a view."""

    def __call__(self, *maps: FeatureMap) -> FeatureMap:
        """Maps of one height and width ``-> [B, H, W, sum of channels]``."""
        return concat(maps)
