"""Small networks for the converter: an MLP, a CNN, a residual network, a transformer, a UNet, a DenseNet."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


def conv_norm(c1: int, c2: int, k: int = 3, s: int = 1) -> nn.Sequential:
    """A convolution without bias, and its batch norm."""
    return nn.Sequential(nn.Conv2d(c1, c2, k, s, k // 2, bias=False), nn.BatchNorm2d(c2, eps=1e-3))


class MLP(nn.Module):  # type: ignore[misc]
    """``[batch, 20] -> [batch, 5]``."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(20, 33), nn.ReLU(), nn.Dropout(0.3), nn.Linear(33, 24), nn.GELU(), nn.Linear(24, 5)
        )

    def forward(self, x: Any) -> Any:
        """Logits."""
        return self.layers(x)


class CNN(nn.Module):  # type: ignore[misc]
    """``[batch, 1, 28, 28] -> [batch, 10]``: convolutions, pools, three linear layers, log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 20, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(20, 50, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Dropout(), nn.Linear(50 * 7 * 7, 64), nn.ReLU(inplace=True)),
            *(nn.Dropout(), nn.Linear(64, 10), nn.LogSoftmax(1)),
        )

    def forward(self, x: Any) -> Any:
        """Log-probabilities."""
        return self.classifier(self.features(x))


class Residual(nn.Module):  # type: ignore[misc]
    """A block of ResNet's."""

    def __init__(self, c1: int, c2: int, s: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv_norm(c1, c2, 3, s), conv_norm(c2, c2)
        self.shortcut = nn.Identity() if (c1, s) == (c2, 1) else conv_norm(c1, c2, 1, s)

    def forward(self, x: Any) -> Any:
        """The sum of both ways, activated."""
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + self.shortcut(x))


class MiniResNet(nn.Module):  # type: ignore[misc]
    """``[batch, 3, height, width] -> {"map": ..., "logits": ...}``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 16, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Residual(16, 16, 1), Residual(16, 24, 2))
        self.head = nn.Linear(24, 7)

    def forward(self, x: Any) -> Any:
        """The last map, and logits."""
        y = self.blocks(self.stem(x))
        return {"map": y, "logits": self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))}


class UNet(nn.Module):  # type: ignore[misc]
    """``[batch, 3, height, width]``, multiples of 2: down, up, and a shortcut past both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down, self.last = conv_norm(3, 8), conv_norm(8, 12, 3, 2), nn.Conv2d(20, 2, 1)

    def forward(self, x: Any) -> Any:
        """A mask as large as the image."""
        x = functional.silu(self.first(x))
        return self.last(torch.cat([functional.interpolate(self.down(x), scale_factor=2.0), x], 1)).sigmoid()


class DenseBlock(nn.Module):  # type: ignore[misc]
    """``[batch, 3, height, width]``: batch norms before convolutions, on concatenated maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8 + 4 * i) for i in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(3)])

    def forward(self, x: Any) -> Any:
        """All maps, concatenated."""
        maps = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            maps.append(conv(functional.relu(norm(torch.cat(maps, 1)))))
        return torch.cat(maps, 1)


class Gated(nn.Module):  # type: ignore[misc]
    """``[batch, 3, height, width]``: depthwise, with squeeze and excitation, as MobileNetV3 has it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(conv_norm(3, 16, 1), nn.Hardswish(inplace=True))
        self.deep = nn.Sequential(nn.Conv2d(16, 16, 5, 2, 2, groups=16, bias=False), nn.BatchNorm2d(16))
        self.squeeze, self.excite = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.narrow = conv_norm(16, 6, 1)

    def forward(self, x: Any) -> Any:
        """Channels, weighted by what all pixels say."""
        x = functional.hardswish(self.deep(self.wide(x)))
        gate = functional.adaptive_avg_pool2d(x, 1)
        return self.narrow(x * functional.hardsigmoid(self.excite(functional.relu(self.squeeze(gate)))))


class Encoder(nn.Module):  # type: ignore[misc]
    """``[batch, length, 16]``: a transformer encoder of two layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 40, batch_first=True, activation="gelu", norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Any) -> Any:
        """As many rows."""
        return self.layers(x)


def settled(module: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """The module in evaluation mode; its batch norms have the statistics of some inputs."""
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)]
    module.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias)
    with torch.no_grad():
        module(*inputs)
    return module.eval()
