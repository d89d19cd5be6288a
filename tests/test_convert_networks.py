"""Converted networks against PyTorch in float64, for any batch and size: one graph, compiled once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import convert_networks as networks
import numpy as np
import pytest
import torch
from max import driver
from torch import nn
from torch.utils import _pytree as pytree

from yolo_max.convert import ConversionError, convert_pytorch_model
from yolo_max.convert.max_model import MaxModel

SHAPES = [("batch", 20), ("batch", 1, 28, 28), ("batch", 3, "height", "width"), ("batch", "length", 16)]
RATIO = 4
"""How many times as far from float64 as PyTorch's own float32 an output may be."""
SAMPLES = 8
"""Inputs over which the largest error is taken: that of the few numbers of one output is chance."""


class Networks(nn.Module):  # type: ignore[misc]
    """All of them, from four inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.cnn, self.encoder = networks.MLP(), networks.CNN(), networks.Encoder()
        self.resnet, self.unet = networks.MiniResNet(), networks.UNet()
        self.dense, self.gated = networks.DenseBlock(), networks.Gated()

    def forward(self, rows: Any, digits: Any, images: Any, tokens: Any) -> dict[str, Any]:
        sees = {name: getattr(self, name)(images) for name in ("resnet", "unet", "dense", "gated")}
        mlp = self.mlp(rows)
        beside = torch.cat([mlp, mlp[:, :2] * mlp[:, 1:3]], 1)  # rows, which are no maps
        return {
            "mlp": mlp,
            "beside": beside,
            "cnn": self.cnn(digits),
            "encoder": self.encoder(tokens),
            **sees,
        }


def inputs(batch: int, height: int, width: int, length: int) -> list[torch.Tensor]:
    sizes = {"batch": batch, "height": height, "width": width, "length": length}
    shapes = [[sizes[size] if isinstance(size, str) else size for size in shape] for shape in SHAPES]
    return [torch.randn(shape) for shape in shapes]


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return networks.settled(Networks(), *inputs(4, 32, 48, 7))


@pytest.fixture(scope="module")
def converted(module: nn.Module) -> MaxModel:
    return convert_pytorch_model(module, SHAPES, model_name="networks")


def ratios(converted: MaxModel, module: nn.Module, sizes: tuple[int, int, int, int]) -> dict[str, float]:
    """How far each output is from float64, as a multiple of PyTorch's own distance."""
    farthest: dict[str, list[float]] = {}
    for seed in range(SAMPLES):
        torch.manual_seed(seed)
        given = inputs(*sizes)
        with torch.no_grad():
            plain = module.float()(*given)
            exact = module.double()(*(each.double() for each in given))
        module.float()
        leaves = (pytree.tree_leaves_with_path(each) for each in (converted(*given), plain, exact))
        for (path, mine), (_, theirs), (_, best) in zip(*leaves, strict=True):
            assert mine.shape == best.shape, path
            assert mine.dtype == theirs.dtype, path
            off = [float((each.double() - best).abs().max()) for each in (mine, theirs)]
            farthest[pytree.keystr(path)] = list(map(max, off, farthest.get(pytree.keystr(path), off)))
    return {name: ours / theirs for name, (ours, theirs) in farthest.items()}


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 32, 48, 5),
        (3, 34, 62, 9),  # no multiples of tiles
        (2, 16, 16, 1),
        (1, 2, 2, 2),  # down to one pixel
    ],
    ids=str,
)
def test_networks_are_what_pytorch_computes(
    converted: MaxModel, module: nn.Module, sizes: tuple[int, int, int, int]
) -> None:
    found = ratios(converted, module, sizes)
    assert len(found) == 9  # the residual network gives two
    assert {name: ratio for name, ratio in found.items() if ratio > RATIO} == {}


def test_what_goes_in_comes_out(converted: MaxModel, module: nn.Module) -> None:
    """The structure of the module's output, of NumPy arrays for NumPy arrays."""
    given = inputs(2, 16, 16, 3)
    ours, arrays = converted(*given), converted(*(each.numpy() for each in given))
    assert list(ours) == list(module(*given))
    assert isinstance(ours["resnet"]["map"], torch.Tensor)
    assert isinstance(arrays["resnet"]["map"], np.ndarray)
    for mine, array in zip(pytree.tree_leaves(ours), pytree.tree_leaves(arrays), strict=True):
        np.testing.assert_array_equal(mine.numpy(), array)
    buffers = converted.execute(*(driver.Buffer.from_numpy(each.numpy()) for each in given))
    for array, buffer in zip(pytree.tree_leaves(arrays), buffers, strict=True):
        np.testing.assert_array_equal(buffer.to_numpy(), array)


def test_inputs_may_lie_anyhow_in_memory(converted: MaxModel) -> None:
    rows, digits, images, tokens = inputs(2, 16, 16, 3)
    turned = images.to(memory_format=torch.channels_last)
    np.testing.assert_array_equal(
        converted(rows, digits, turned, tokens)["unet"], converted(rows, digits, images, tokens)["unet"]
    )


def test_it_may_be_called_from_several_threads(converted: MaxModel) -> None:
    each = [inputs(batch, 16, 24, 3) for batch in (1, 2, 3, 1, 2, 3)]
    alone = [converted(*given)["dense"] for given in each]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda given: converted(*given)["dense"], each))
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given[:3], "takes 4 inputs in the structure in which it was converted, and got 3"),
        (lambda given: [*given[:3], given[3].double()], "input 3 of networks is float64; it takes float32"),
        (lambda given: [given[0][:, :9], *given[1:]], r"input 0 .* shape \(2, 9\); it takes \(batch, 20\)"),
        (
            lambda given: [given[0][:1], *given[1:]],
            r"input 1 .*it takes \(batch, 1, 28, 28\)",
        ),  # another batch
        (lambda given: [*given[:2], given[2][0], given[3]], r"input 2 .* shape \(3, 16, 16\)"),
        (lambda given: [*given[:3], given[3][:, :0]], r"input 3 .* shape \(2, 0, 16\)"),
        (
            lambda given: [*given[:2], given[2][..., :15], given[3]],  # UNet halves and doubles
            r"cannot run with batch = 2, height = 16, width = 15, length = 3; it needs width == 2 \+ 2\*",
        ),
    ],
)
def test_an_input_that_does_not_fit(converted: MaxModel, change: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        converted(*change(inputs(2, 16, 16, 3)))


def test_the_second_time_nothing_is_compiled(converted: MaxModel, module: nn.Module) -> None:
    """Nor for other weights."""
    with torch.no_grad():
        module.mlp.layers[0].weight.mul_(2)
    announced: list[str] = []
    again = convert_pytorch_model(module, SHAPES, report=announced.append)
    assert (again.from_cache, announced) == (True, [])
    assert max(ratios(again, module, (2, 16, 16, 3)).values()) <= RATIO
    with torch.no_grad():
        module.mlp.layers[0].weight.div_(2)
