"""Networks in float64, on MAX's operations alone, and devices that are not here."""

from __future__ import annotations

from typing import Any

import convert_networks as networks
import pytest
import torch
from max import driver
from torch import nn
from torch.nn import functional

from yolo_max.convert import ConversionError, PyTorchToMAXConverter, analyze, convert_pytorch_model
from yolo_max.convert.converter import Network
from yolo_max.convert.errors import UnsupportedOperations
from yolo_max.convert.rules import builtin_rules
from yolo_max.support.errors import UsageError

aten = torch.ops.aten
SHAPE = ("batch", 3, 14, 18)
FLOAT64 = torch.float64


class Exact(nn.Module):  # type: ignore[misc]
    """Whatever is lowered in another way beside the kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.dilated = networks.conv_norm(3, 8, 3, 2), nn.Conv2d(8, 6, (3, 2), dilation=2)
        self.deep, self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 3, groups=2)
        self.slopes, self.linear, self.head = nn.PReLU(8), nn.Linear(8, 8), nn.Linear(24, 5)

    def forward(self, x: Any) -> Any:
        y = functional.silu(self.stem(x))
        z = functional.relu(self.slopes(self.deep(y)) + y)
        pools = (
            functional.max_pool2d(z, 3, 2, 1, ceil_mode=True),
            functional.avg_pool2d(z, 2, 1, 1, count_include_pad=False),
            functional.adaptive_avg_pool2d(z, (2, 3)),
        )
        rows = z.flatten(2).mT
        attended = (rows @ rows.mT * 0.3).softmax(-1) @ rows
        rows = functional.scaled_dot_product_attention(rows, rows, attended) + self.linear(rows).sigmoid()
        flat = pools[2][:, :4].flatten(1)
        return *pools, self.dilated(y), self.grouped(z), rows, z.mean((2, 3)), self.head(flat).log_softmax(1)


def exact() -> nn.Module:
    torch.manual_seed(0)
    return networks.settled(Exact(), torch.randn(4, *SHAPE[1:]))


def test_float64_uses_no_kernel() -> None:
    module = exact().double()
    rules = builtin_rules(dtype=FLOAT64)
    graph = str(Network.of(module, [SHAPE], "exact", [FLOAT64], rules).graph())
    assert "f64" in graph
    assert "kernels_run" not in graph
    assert "kernels_run" in str(Network.of(exact(), [SHAPE], "exact", None, builtin_rules()).graph())


def test_it_never_is_maxs_own_convolution() -> None:
    graph = str(
        Network.of(exact().double(), [SHAPE], "exact", [FLOAT64], builtin_rules(dtype=FLOAT64)).graph()
    )
    assert not [name for name in ("mo.conv", "mo.max_pool", "mo.avg_pool") if name in graph]


@pytest.mark.parametrize(
    ("operation", "function", "dtype", "on"),
    [
        (aten.cat.default, lambda x: torch.cat([x, x], 1), torch.float32, "copies"),
        (aten.cat.default, lambda x: torch.cat([x, x], 1), torch.int64, "MAX"),
        (aten.repeat.default, lambda x: x.repeat(2, 3), torch.float32, "copies"),
        (aten.repeat.default, lambda x: x.repeat(2, 3), torch.int64, "MAX"),
        (aten.roll.default, lambda x: x.roll(1, 1), torch.float32, "copies"),
        (aten.stack.default, lambda x: torch.stack([x, x]), torch.float32, "MAX"),
    ],
)
def test_what_joins_tensors_is_computed_on_what_the_table_says(
    operation: Any, function: Any, dtype: Any, on: str
) -> None:
    class Joining(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    assert on in builtin_rules()[operation].on
    graph = str(Network.of(Joining().eval(), [(2, 6)], "joining", [dtype], builtin_rules()).graph())
    assert ("kernels_run" in graph) == (on == "copies")


@pytest.mark.zoo
def test_float64_is_as_exact_as_pytorchs() -> None:
    module = exact()
    converted = convert_pytorch_model(module, [SHAPE], dtype="float64")
    x = torch.randn(2, *SHAPE[1:], dtype=FLOAT64)
    got = converted(x)
    with torch.no_grad():
        wanted = module.double()(x)
    for mine, theirs in zip(got, wanted, strict=True):
        assert (mine.dtype, mine.shape) == (FLOAT64, theirs.shape)
        assert float((mine - theirs).abs().max()) <= 1e-13 * float(theirs.abs().max())


def test_the_module_keeps_its_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[torch.dtype] = []

    def of(model: nn.Module, *_: Any) -> Network:
        found.extend(each.dtype for each in model.parameters())
        raise ConversionError("enough.")

    monkeypatch.setattr(Network, "of", of)
    module = nn.Linear(3, 2).eval()
    with pytest.raises(ConversionError, match="enough"):
        PyTorchToMAXConverter(dtype="float64").convert_model(module, [(1, 3)])
    assert found == [FLOAT64, FLOAT64]
    assert module.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("function", "shape", "reason"),
    [
        (lambda x: torch.atan(x), (4,), "float64 is not computed"),
        (lambda x: functional.interpolate(x, scale_factor=2.0), (1, 3, 4, 4), "in float32 on the CPU alone"),
        (lambda x: functional.max_pool2d(x, 2), (1, 3, "height", 4), "the sides of a map are static"),
        (
            lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
            (1, 2, 3, 4),
            "attention has no mask",
        ),
    ],
)
def test_what_is_not_computed_in_float64(function: Any, shape: Any, reason: str) -> None:
    class Function(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    with pytest.raises(UnsupportedOperations, match=reason):
        PyTorchToMAXConverter(dtype="float64").convert_model(Function().eval(), [shape])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("weights", [torch.float16, torch.float32, torch.bfloat16, torch.float64])
def test_the_analyzer_looks_at_what_is_converted(dtype: str, weights: torch.dtype) -> None:
    """The module in the converter's dtype, whatever its own is."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval().to(weights)
    assert analyze(module, [("batch", 3, 9, 9)], dtype=dtype).convertible
    assert {each.dtype for each in module.parameters()} == {weights}


def test_a_module_that_cannot_be_copied_is_told_so() -> None:
    module = nn.Conv2d(3, 4, 3).double().eval()
    module.scale = module.weight.detach().requires_grad_() * 2  # PyTorch copies no result of a computation
    message = "cannot be copied to be converted in it .*; call .to\\(torch.float32\\) on it"
    with pytest.raises(ConversionError, match=message):
        convert_pytorch_model(module, [(1, 3, 9, 9)])
    assert "cannot be copied" in analyze(module, [(1, 3, 9, 9)]).error


def test_dtypes_and_devices_that_there_are_not() -> None:
    with pytest.raises(UsageError, match=r"dtype is 'float16', but .* in float32 or bfloat16 or float64"):
        PyTorchToMAXConverter(dtype="float16")
    with pytest.raises(UsageError, match="device is 'tpu', but modules are converted for 'cpu' or 'gpu'"):
        PyTorchToMAXConverter(device="tpu")


@pytest.mark.skipif(driver.accelerator_count() > 0, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConversionError, match="no GPU that MAX can use was found"):
        PyTorchToMAXConverter(device="gpu")


def test_on_a_gpu_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole graph but the number of threads, on stock operations."""
    monkeypatch.setattr(driver, "accelerator_count", lambda: 1)
    rules = PyTorchToMAXConverter(device="gpu")._rules
    graph = Network.of(exact(), [SHAPE], "exact", None, rules, "gpu").graph()
    assert "kernels_run" not in str(graph)
    assert [each.tensor.device.is_gpu() for each in graph.inputs] == [True, False]
    assert all(each.device.is_gpu() for each in graph.output_types)
