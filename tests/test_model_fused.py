"""The fused kernels inside a real MAX graph, with symbolic batch, height and width, against PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import HALVING, KERNELS, POLYPHASE, ConvKernel, pack_weights
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS
from yolo_max.kernels.precision import Precision

if TYPE_CHECKING:
    from max.engine import Model

torch = pytest.importorskip("torch")


def network(o: Any, image: Any) -> list[Any]:
    """Every operation and every kind of view the port can come to, on channels of all kinds.

    Returns:
        The raw head of two levels, and two maps that take the less usual ways.
    """
    x = o.conv(image, "stem", 3, 16, 3, 2)
    x = p3 = o.conv(x, "down", 16, 32, 3, 2)
    # C2f of 24 hidden channels: halves of a tensor, not of whole blocks; a residual that is such a half.
    parts = list(o.split(o.conv(x, "cv1", 32, 48, 1), 2))
    for i in range(2):
        hidden = o.conv(parts[-1], f"m.{i}.cv1", 24, 24, 3)
        parts.append(o.conv(hidden, f"m.{i}.cv2", 24, 24, 3, residual=parts[-1]))
    x = o.conv(o.concat(parts), "cv2", 96, 40, 1)
    # SPPF at the coarser level.
    pooled = [o.conv(x, "coarse", 40, 16, 3, 2)]
    for _ in range(3):
        pooled.append(o.max_pool(pooled[-1], 5))
    p4 = o.conv(o.concat(pooled), "sppf", 64, 48, 1)
    # Upsample and concat, read by 1x1 and, as YOLOv8 never does, by the transformed convolutions.
    wide = o.concat([o.upsample(p4), p3])
    mixed = o.conv(wide, "mixed", 80, 24, 1)
    direct = o.conv(wide, "wide", 80, 24, 3)
    halved = o.conv(wide, "halved", 80, 24, 3, 2)
    # A residual that is several slices, one of them doubled.
    slices = o.concat([mixed, o.upsample(halved)])
    joined = o.conv(slices, "joined", 48, 48, 5, residual=slices)
    # Bytes of the image where there is no stem to read them, and a convolution without activation.
    odd = o.conv(image, "odd", 3, 5, 7, 4, act=False)
    head = o.head([(direct, ("b3", 24, 64), ("c3", 24, 6)), (halved, ("b4", 24, 64), ("c4", 24, 6))])
    return [head, joined, odd]


class Numbers:
    """Weights by name, made when they are first asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.tensors: dict[str, NDArray[np.float32]] = {}

    def __call__(
        self, name: str, c1: int, c2: int, k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if f"{name}.weight" not in self.tensors:
            filters = self.rng.standard_normal((k, k, c1, c2)) / np.sqrt(k * k * c1)
            self.tensors[f"{name}.weight"] = filters.astype(np.float32)
            self.tensors[f"{name}.bias"] = self.rng.standard_normal(c2).astype(np.float32)
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]


class TorchOps:
    """The network in PyTorch, NCHW, in float64."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def conv(
        self, x: Any, name: str, c1: int, c2: int, k: int, s: int = 1, act: bool = True, residual: Any = None
    ) -> Any:
        if x.dtype == torch.uint8:
            x = (x.float() / 255).double()
        filters, bias = (torch.from_numpy(n).double() for n in self.numbers(name, c1, c2, k))
        y = torch.nn.functional.conv2d(x, filters.permute(3, 2, 0, 1), bias, s, k // 2)
        y = torch.nn.functional.silu(y) if act else y
        return y if residual is None else y + residual

    def split(self, x: Any, parts: int) -> Any:
        return x.chunk(parts, 1)

    def concat(self, maps: Sequence[Any]) -> Any:
        return torch.cat(list(maps), 1)

    def upsample(self, x: Any) -> Any:
        return torch.nn.functional.interpolate(x, scale_factor=2)

    def max_pool(self, x: Any, k: int) -> Any:
        return torch.nn.functional.max_pool2d(x, k, 1, k // 2)

    def head(self, levels: Sequence[Any]) -> Any:
        rows = [
            torch.cat([self.conv(x, name, c1, c2, 1, act=False) for name, c1, c2 in branches], 1).flatten(2)
            for x, *branches in levels
        ]
        return torch.cat(rows, 2).transpose(1, 2)


class MaxOps:
    """The network on the fused back end; collects the convolutions it makes."""

    def __init__(self, precision: Precision) -> None:
        from yolo_max.model.fused import FusedBackend
        from yolo_max.runtime.kernel_package import precompile

        self.backend = FusedBackend(precision, precompile().result())
        self.kernels: dict[str, ConvKernel] = {}

    def _conv(self, name: str, c1: int, c2: int, k: int, s: int, act: bool) -> Any:
        activation = Activation.SILU if act else Activation.NONE
        conv: Any = self.backend.conv2d(c1, c2, k, s, k // 2, depthwise=False, activation=activation)
        conv.weight.name, conv.bias.name = f"{name}.weight", f"{name}.bias"
        self.kernels[name] = conv.kernel
        return conv

    def conv(
        self, x: Any, name: str, c1: int, c2: int, k: int, s: int = 1, act: bool = True, residual: Any = None
    ) -> Any:
        return self._conv(name, c1, c2, k, s, act)(x, residual)

    def split(self, x: Any, parts: int) -> Any:
        return x.split(parts)

    def concat(self, maps: Sequence[Any]) -> Any:
        from yolo_max.kernels.feature_map import concat

        return concat(maps)

    def upsample(self, x: Any) -> Any:
        return x.upsample()

    def max_pool(self, x: Any, k: int) -> Any:
        return self.backend.max_pool(x, k)

    def head(self, levels: Sequence[Any]) -> Any:
        from yolo_max.model.backend import Level, Prediction

        found = []
        for x, *branches in levels:
            predictions = [Prediction(x, self._conv(name, c1, c2, 1, 1, False)) for name, c1, c2 in branches]
            found.append(Level(predictions, self.backend.candidates(predictions[-1])))
        return self.backend.predict(found)


class Compiled:
    """The network in one precision, compiled once for every batch and size."""

    def __init__(self, precision: Precision) -> None:
        from max import driver
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import DeviceRef, Graph, TensorType

        self.precision = precision
        self.numbers = Numbers()
        TorchOps(self.numbers)
        ops = MaxOps(precision)
        pixels = TensorType(DType.uint8, ["batch", "height", "width", 3], DeviceRef.CPU())
        with Graph(
            "everything",
            input_types=[pixels, *ops.backend.inputs],
            custom_extensions=list(ops.backend.extensions),
        ) as graph:
            head, *maps = network(ops, ops.backend.image(graph.inputs[0].tensor))
            graph.output(head, *(ops.backend.tensor(y) for y in maps))
        # The reference makes the numbers; both sides use the same.
        network(TorchOps(self.numbers), torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
        self.session = InferenceSession(devices=[driver.CPU()])
        self.registry = pack_weights(self.numbers.tensors, ops.kernels, precision)
        self.compiled = self.session.compile(graph)
        self.model = self.init(self.registry)
        self.kernels = ops.kernels

    def init(self, registry: dict[str, NDArray[Any]]) -> Model:
        """The compiled graph with these weights."""
        return self.session.init(self.compiled, weights_registry=registry)

    def run(self, model: Model, image: NDArray[np.uint8], threads: int = 2) -> list[NDArray[np.float32]]:
        from max.driver import Buffer

        inputs = image, np.array([threads, -np.inf], np.float32)
        return [y.to_numpy() for y in model.execute(*map(Buffer.from_numpy, inputs))]

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return self.run(self.model, image)

    def expected(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        head, *maps = network(TorchOps(self.numbers), torch.from_numpy(image).permute(0, 3, 1, 2))
        return [head.numpy(), *(y.permute(0, 2, 3, 1).numpy() for y in maps)]


@pytest.fixture(scope="module", params=Precision)
def compiled(request: pytest.FixtureRequest) -> Compiled:
    return Compiled(request.param)


SIZES = [
    (1, 64, 64),
    (3, 32, 32),  # several images, the coarse level 4 x 4
    (2, 8, 200),  # a single row of pixels at the coarse level
    (1, 200, 8),  # a single column
    (1, 8, 8),  # a single pixel
]


@pytest.mark.parametrize(("batch", "height", "width"), SIZES)
def test_a_graph_of_everything_is_what_pytorch_computes(
    compiled: Compiled, batch: int, height: int, width: int
) -> None:
    image = np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), np.uint8)
    for got, exact in zip(compiled(image), compiled.expected(image), strict=True):
        assert got.dtype == np.float32
        assert got.shape == exact.shape
        error = np.abs(got - exact)
        if compiled.precision is Precision.F32:
            assert error.max() <= 2e-5 * max(1, np.abs(exact).max())
        else:
            # Up to a dozen roundings to eight bits lie one behind the other.
            assert np.sqrt(np.mean(error**2)) <= 0.02 * np.sqrt(np.mean(exact**2))


def test_every_kernel_takes_part(compiled: Compiled) -> None:
    # A graph with a depthwise one is in test_kernels_ops.py.
    expected = {kernel for kernel in KERNELS if kernel.table is CONVOLUTIONS_AND_POOLS} - {POLYPHASE}
    if compiled.precision is Precision.BF16:
        expected.remove(HALVING)
    assert set(compiled.kernels.values()) == expected


def test_results_do_not_depend_on_the_neighbours_in_a_batch(compiled: Compiled) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 40, 24, 3), np.uint8)
    together = compiled(images)
    for i in range(3):
        for all_of_them, alone in zip(together, compiled(images[i : i + 1]), strict=True):
            np.testing.assert_array_equal(all_of_them[i : i + 1], alone)


@pytest.mark.parametrize("threads", [1, 3, 64])
def test_results_do_not_depend_on_the_number_of_threads(compiled: Compiled, threads: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (2, 72, 136, 3), np.uint8)
    for got, expected in zip(compiled.run(compiled.model, image, threads), compiled(image), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_packed_weights_are_not_part_of_the_graph(compiled: Compiled) -> None:
    """Other numbers of the same shapes need no other compile, and give other results."""
    image = np.full((1, 32, 32, 3), 100, np.uint8)
    zeros = compiled.init({name: np.zeros_like(value) for name, value in compiled.registry.items()})
    assert np.abs(compiled(image)[0]).max() > 1
    assert not compiled.run(zeros, image)[0].any()
