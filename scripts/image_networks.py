"""Networks from image to image, to measure the converter with: a UNet, and RRDB blocks as in Real-ESRGAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Twice(nn.Sequential):  # type: ignore[misc]
    """Two convolutions with batch norm and ReLU."""

    def __init__(self, c1: int, c2: int) -> None:
        parts: list[nn.Module] = []
        for c in (c1, c2):
            parts += [nn.Conv2d(c, c2, 3, padding=1, bias=False), nn.BatchNorm2d(c2), nn.ReLU(inplace=True)]
        super().__init__(*parts)


class UNet(nn.Module):  # type: ignore[misc]
    """Ronneberger et al. (2015) with padding: ``[B, 3, H, W] -> [B, classes, H, W]``, multiples of 16."""

    def __init__(self, width: int = 32, classes: int = 2) -> None:
        super().__init__()
        sizes = [width << i for i in range(5)]
        self.first = Twice(3, sizes[0])
        self.down = nn.ModuleList(map(Twice, sizes, sizes[1:]))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in sizes[-2::-1])
        self.up = nn.ModuleList(Twice(2 * c, c) for c in sizes[-2::-1])
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        """Logits of each pixel."""
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(functional.max_pool2d(maps[-1], 2)))
        x = maps.pop()
        for enlarge, up in zip(self.enlarge, self.up, strict=True):
            x = up(torch.cat([maps.pop(), enlarge(x)], 1))
        return self.last(x)


class Dense(nn.Module):  # type: ignore[misc]
    """Five convolutions that each read all before them, and a scaled residual."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        outputs = [growth] * 4 + [channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels + i * growth, c, 3, padding=1) for i, c in enumerate(outputs)
        )

    def forward(self, x: Any) -> Any:
        """As many channels."""
        maps = [x]
        for conv in self.convs[:-1]:
            maps.append(functional.leaky_relu(conv(torch.cat(maps, 1)), 0.2))
        return self.convs[-1](torch.cat(maps, 1)) * 0.2 + x


class RRDB(nn.Module):  # type: ignore[misc]
    """The generator of ESRGAN (Wang et al., 2018) with few blocks: ``[B, 3, H, W] -> [B, 3, 4 H, 4 W]``."""

    def __init__(self, blocks: int = 2, channels: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Sequential(*(Dense(channels, growth) for _ in range(3))) for _ in range(blocks)
        )
        self.after, self.up1, self.up2, self.wide = (
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(4)
        )
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """The image, four times as large."""
        x = y = self.first(x)
        for block in self.body:
            y = block(y) * 0.2 + y
        x = x + self.after(y)
        for up in (self.up1, self.up2):
            x = functional.leaky_relu(up(functional.interpolate(x, scale_factor=2.0)), 0.2)
        return self.last(functional.leaky_relu(self.wide(x), 0.2))


IMAGE_NETWORKS: dict[str, Callable[[], nn.Module]] = {"unet": UNet, "rrdb": RRDB}
