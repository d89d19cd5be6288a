"""Attention over the pixels of a map: PSABlock, C2PSA and PSA, which are made of it, and YOLO12's ABlock."""

from __future__ import annotations

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap, concat
from yolo_max.model.backend import Backend
from yolo_max.model.blocks import MaxConv
from yolo_max.model.max_nn import Module, Sequential
from yolo_max.model.specs.attention import AREA_HEAD, heads


class MaxAttention(Module):
    """Multi-head attention; a depthwise convolution of the values adds what depends on the position."""

    def __init__(self, backend: Backend, c: int, n: int, keys: int, k: int = 3, areas: int = 1) -> None:
        """For ``n`` heads with keys of ``keys`` channels; the depthwise convolution is ``k`` x ``k``."""
        super().__init__()
        self.backend = backend
        self.heads, self.areas = n, areas
        self.values, self.keys = c // n, keys
        none = Activation.NONE
        self.qkv = MaxConv(backend, c, c + 2 * keys * n, activation=none)
        self.proj = MaxConv(backend, c, c, activation=none)
        self.pe = MaxConv(backend, c, c, k, depthwise=True, activation=none)

    def __call__(self, x: FeatureMap, residual: FeatureMap | None = None) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``, plus ``residual``."""
        qkv = self.qkv(x)
        attended = self.backend.attention(qkv, self.heads, self.keys, self.values, self.areas)
        width = 2 * self.keys + self.values  # of a head: query, key, value
        starts = [head * width + 2 * self.keys for head in range(self.heads)]
        values = concat([qkv.take(start, self.values) for start in starts])
        y: FeatureMap = self.proj(self.pe(values, residual=attended), residual=residual)
        return y


class MaxFeedForward(Sequential):
    """Two 1x1 convolutions, the second one without activation."""

    def __init__(self, backend: Backend, c: int, hidden: int) -> None:
        last = MaxConv(backend, hidden, c, activation=Activation.NONE)
        super().__init__([MaxConv(backend, c, hidden), last])

    def __call__(self, x: FeatureMap, residual: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``, plus ``residual``."""
        first, last = self.layers
        y: FeatureMap = last(first(x), residual=residual)
        return y


class MaxPSABlock(Module):
    """Attention, then a feed-forward network, each with a shortcut."""

    def __init__(self, backend: Backend, c: int) -> None:
        super().__init__()
        self.attn = MaxAttention(backend, c, heads(c), c // heads(c) // 2)
        self.ffn = MaxFeedForward(backend, c, 2 * c)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        x = self.attn(x, residual=x)
        return self.ffn(x, residual=x)


class MaxABlock(Module):
    """The same for ``areas`` parts of the map by themselves, with keys of the size of values."""

    def __init__(self, backend: Backend, c: int, hidden: int, areas: int) -> None:
        super().__init__()
        self.attn = MaxAttention(backend, c, c // AREA_HEAD, AREA_HEAD, 7, areas)
        self.mlp = MaxFeedForward(backend, c, hidden)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        x = self.attn(x, residual=x)
        return self.mlp(x, residual=x)


class MaxC2PSA(Module):
    """``n`` such blocks on the second half of a 1x1 convolution's channels; another one reads both halves."""

    def __init__(self, backend: Backend, c: int, hidden: int, n: int) -> None:
        super().__init__()
        self.cv1 = MaxConv(backend, c, 2 * hidden)
        self.cv2 = MaxConv(backend, 2 * hidden, c)
        self.m = Sequential([MaxPSABlock(backend, hidden) for _ in range(n)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        a, b = self.cv1(x).split(2)
        return self.cv2(concat([a, self.m(b)]))


class MaxPSA(MaxPSABlock):
    """The same with a single block, whose parts are its own: YOLOv10's."""

    def __init__(self, backend: Backend, c: int, hidden: int) -> None:
        super().__init__(backend, hidden)
        self.cv1 = MaxConv(backend, c, 2 * hidden)
        self.cv2 = MaxConv(backend, 2 * hidden, c)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        """``[B, H, W, c] -> [B, H, W, c]``."""
        a, b = self.cv1(x).split(2)
        return self.cv2(concat([a, super().__call__(b)]))
