"""Networks whose maps between convolutions are bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import convert_networks as networks
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from yolo_max.convert import ConversionError, analyze, convert_pytorch_model, export, load
from yolo_max.convert.converter import Network, PyTorchToMAXConverter
from yolo_max.convert.parity import BF16_RATIO, ratio
from yolo_max.convert.rules import builtin_rules
from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu
from yolo_max.support.errors import UsageError

IMAGES = ("batch", 3, "height", "width")
SIZES = [(1, 3, 32, 48), (3, 3, 34, 62), (2, 3, 16, 16)]
SAMPLES = 16  # of 4, 2 of 500 of these ratios are above 1.5 by chance
needs_bf16 = pytest.mark.skipif(not cpu.has_bf16(), reason="the CPU multiplies no bfloat16")


class Patches(nn.Module):  # type: ignore[misc]
    """``[batch, 3, height, width] -> [batch, length, 16]``: a vision transformer's beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.encoder = nn.Conv2d(3, 16, 4, 4), networks.Encoder()

    def forward(self, x: Any) -> Any:
        return self.encoder(self.patches(x).flatten(2).mT)


class Odd(nn.Module):  # type: ignore[misc]
    """Odd numbers of channels, of which two make a word, on every kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.point, self.tiles = nn.Conv2d(3, 7, 3, 2, 1), nn.Conv2d(7, 5, 1), nn.Conv2d(5, 9, 3)
        self.deep, self.grouped = nn.Conv2d(9, 9, 3, padding=1, groups=9), nn.Conv2d(9, 6, 3, groups=3)
        self.larger, self.last = nn.ConvTranspose2d(7, 5, 2, 2), nn.Conv2d(13, 4, 3, 2)

    def forward(self, x: Any) -> Any:
        stem = self.stem(x).relu()
        point = self.point(stem)
        tiles = self.tiles(nn.functional.pad(point, (1, 1, 1, 1)))
        sized = nn.functional.interpolate(tiles, size=(9, 11), mode="bilinear")
        both = self.last(torch.cat([point, tiles[:, 1:]], 1))
        return self.grouped(self.deep(tiles)), self.larger(stem), nn.functional.max_pool2d(both, 2), sized


class Corrected(nn.Module):  # type: ignore[misc]
    """An image that convolutions correct: sums, and maps side by side, one of them a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 9, 3, padding=1), nn.Conv2d(9, 3, 3, padding=1)
        self.deep = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.register_buffer("map", torch.randn(1, 1, 16, 16))

    def forward(self, x: Any) -> Any:
        first = self.first(x / 4).relu()
        last = self.last(first)
        constant = self.map.expand(x.shape[0], -1, -1, -1)
        pooled = nn.functional.adaptive_avg_pool2d(first, (16, 16))
        sums = 0.05 * self.last(first) + x, 0.05 * self.deep(last) + x
        return *sums, torch.cat([x, first], 1), torch.cat([pooled, constant], 1)


class Squared(nn.Module):  # type: ignore[misc]
    """A map, and its squares, which no kernel computes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(16, 8, 1)

    def forward(self, x: Any) -> Any:
        first = self.first(x)
        squares = first * first
        return self.last(torch.cat([first, squares], 1)) + squares


class Networks(nn.Module):  # type: ignore[misc]
    """All of them, from one image."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet, self.unet, self.odd = networks.MiniResNet(), networks.UNet(), Odd()
        self.dense, self.gated, self.patches = networks.DenseBlock(), networks.Gated(), Patches()
        self.corrected = Corrected()

    def forward(self, x: Any) -> dict[str, Any]:
        return {name: each(x) for name, each in self.named_children()}


@pytest.mark.parametrize(
    ("make", "bf16", "f32"),
    [
        # the batch norms are the convolutions', and so are most activations
        (networks.MiniResNet, {"conv2d", "batch_norm", "relu", "add", "max_pool2d", "pool"}, {"linear"}),
        (networks.UNet, {"conv2d", "batch_norm", "silu", "upsample", "cat", "sigmoid"}, set()),
        (networks.DenseBlock, {"conv2d", "batch_norm", "relu", "cat"}, set()),
        # a map times what is computed of all its pixels has no kernel
        (networks.Gated, {"conv2d", "batch_norm", "hardswish", "hardsigmoid", "pool"}, {"mul"}),
        (Patches, {"conv2d"}, {"linear", "layer_norm", "gelu", "attention", "add"}),
        (Corrected, {"relu", "div", "pool"}, {"add", "cat"}),  # which keep the image's digits
        # what is computed of maps of bfloat16 alone has no more digits than these
        (Squared, {"conv2d", "cat", "add"}, {"mul"}),
    ],
)
def test_the_analyzer_says_what_is_computed_in_it(make: Any, bf16: set[str], f32: set[str]) -> None:
    module = networks.settled(make(), torch.randn(2, 3, 32, 32))
    report = analyze(module, [IMAGES], dtype="bfloat16")
    assert report.convertible
    for words, expected in ((bf16, {True}), (f32, {False})):
        for word in words:
            assert {each.bf16 for each in report.layers if word in each.operation} == expected, word
    assert "in bfloat16" in report.summary()
    assert not any(each.bf16 for each in analyze(module, [IMAGES]).layers)


def test_a_factor_is_computed_in_it_where_it_is_folded() -> None:
    def forward(x: Any) -> Any:
        y = x / 255
        return conv(y) + other(y)

    conv, other = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
    module = nn.Module()
    module.conv, module.other, module.forward = conv, other, forward
    report = analyze(module.eval(), [IMAGES], dtype="bfloat16")
    assert [each.bf16 for each in report.layers] == [True] * 4
    assert [any("div" in part for part in group) for group in report.fused] == [True] * 2


def test_maps_are_cast_where_the_types_meet_and_nowhere_else() -> None:
    """Of `Gated`: the image; the map and its factors, out of bfloat16, and their product; the result."""
    module = networks.settled(networks.Gated(), torch.randn(2, 3, 32, 32))
    assert str(_network(module).graph()).count("mo.cast") == 5
    assert str(_network(module, Precision.F32).graph()).count("mo.cast") == 0


def test_it_has_a_graph_of_its_own() -> None:
    module = networks.UNet().eval()
    assert _network(module).digest() != _network(module, Precision.F32).digest()


def _network(module: nn.Module, precision: Precision = Precision.BF16) -> Network:
    return Network.of(module, [IMAGES], None, None, builtin_rules(), precision=precision)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return networks.settled(Networks(), torch.randn(4, 3, 32, 48))


@needs_bf16
def test_it_is_as_near_to_float64_as_pytorchs(module: nn.Module) -> None:
    converted = convert_pytorch_model(module, [IMAGES], "networks", dtype="bfloat16")
    for size in SIZES:
        given = [torch.randn(size) for _ in range(SAMPLES)]
        with torch.no_grad():
            ours = [converted(x) for x in given]
            with torch.autocast("cpu", torch.bfloat16):
                theirs = [module(x) for x in given]
            exact = [module.double()(x.double()) for x in given]
        module.float()
        leaves = [pytree.tree_leaves_with_path(dict(enumerate(each))) for each in (ours, theirs, exact)]
        found: dict[str, list[Any]] = {}
        for (path, mine), (_, other), (_, best) in zip(*leaves, strict=True):
            assert mine.dtype == torch.float32
            name = pytree.keystr(path[1:])
            each = ([mine.numpy()], [other.float().numpy()], [best.numpy()])
            found.setdefault(name, []).append(each)
        ratios = {
            name: ratio(*([np.stack([each[i][0] for each in samples])] for i in range(3)))
            for name, samples in found.items()
        }
        assert len(ratios) == 14
        assert {name: each for name, each in ratios.items() if each > BF16_RATIO} == {}


@needs_bf16
def test_a_file_of_it(tmp_path: Path) -> None:
    """It computes what the module computes, whose weights stay float32 in the file."""
    torch.manual_seed(0)
    module = networks.settled(networks.UNet(), torch.randn(2, 3, 32, 32))
    export(module, tmp_path / "unet.safetensors", [IMAGES], dtype="bfloat16")
    x = torch.randn(2, 3, 18, 30)
    with torch.no_grad():
        wanted = module(x).numpy()
    got = load(tmp_path / "unet.safetensors")(x.numpy())
    assert 1e-4 < np.abs(got - wanted).max() < 0.02


def test_a_cpu_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    export(networks.UNet().eval(), tmp_path / "unet.safetensors", [IMAGES], dtype="bfloat16")
    monkeypatch.setattr(cpu, "has_bf16", lambda: False)
    with pytest.raises(ConversionError, match=r"needs AVX512-BF16 .* does not have; use float32"):
        PyTorchToMAXConverter(dtype="bfloat16")
    with pytest.raises(ConversionError, match="needs AVX512-BF16"):
        load(tmp_path / "unet.safetensors")


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (networks.MLP(), ("batch", 20)),
        (nn.Conv2d(4, 4, 3, groups=4), ("batch", 4, 9, 9)),  # depthwise: multiplies in float32
        (nn.MaxPool2d(2), ("batch", 4, 8, 8)),
    ],
)
def test_a_network_without_anything_to_compute_in_it(module: nn.Module, shape: Any, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"nothing in it computes in bfloat16, .* use float32"):
        export(module.eval(), tmp_path / "it.safetensors", [shape], "it", dtype="bfloat16")
    report = analyze(module, [shape], dtype="bfloat16")
    assert not report.convertible
    assert "nothing computes in bfloat16" in report.summary()


def test_what_it_is_not_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only the kernels compute in bfloat16, on a CPU"):
        PyTorchToMAXConverter(device="gpu", dtype="bfloat16")
    with pytest.raises(UsageError, match="exported in float32 or bfloat16, and not in float64"):
        export(nn.Linear(3, 2).eval(), tmp_path / "it.safetensors", [(1, 3)], dtype="float64")
