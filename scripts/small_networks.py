"""Small networks to measure the converter with: an MLP, a CNN, a transformer encoder and a ResNet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from side_by_side_cnn import CNN
from torch import nn
from torch.nn import functional


def make_mlp() -> nn.Module:
    """``[B, 784] -> [B, 10]``: three linear layers, ReLU and dropout between them."""
    parts = (nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.2))
    return nn.Sequential(*parts, nn.Linear(256, 10))


def make_transformer() -> nn.Module:
    """``[B, n, 256] -> [B, n, 256]``: an encoder of four layers and eight heads."""
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, activation="gelu", norm_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions past which a shortcut leads."""

    def __init__(self, c1: int, c2: int, s: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(c1, c2, 3, s, 1, bias=False), nn.BatchNorm2d(c2)
        self.conv2, self.norm2 = nn.Conv2d(c2, c2, 3, 1, 1, bias=False), nn.BatchNorm2d(c2)
        same = (c1, s) == (c2, 1)
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(c1, c2, 1, s, bias=False), nn.BatchNorm2d(c2))
        )

    def forward(self, x: Any) -> Any:
        """``[B, c2, H / s, W / s]``."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def make_mini_resnet() -> nn.Module:
    """``[B, 3, H, W] -> [B, 10]``: He et al.'s ResNet-20 for CIFAR-10, with projected shortcuts."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Residual(c1, c2, 1 if c1 == c2 else 2) for c1, c2 in pairwise(widths)]
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


SMALL_NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (make_mlp, (784,)),
    "cnn": (partial(CNN, "mnist", 100), (1, 28, 28)),
    "transformer": (make_transformer, (64, 256)),
    "mini_resnet": (make_mini_resnet, (3, 32, 32)),
}
"""What makes each, and the shape of one of its inputs."""
