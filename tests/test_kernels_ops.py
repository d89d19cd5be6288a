"""The kernels in a graph that is no YOLO, from plain NHWC tensors, against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import ConvKernel, pack_weights
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")

RELU, SILU = Activation.RELU, Activation.SILU
F32, BF16 = Precision

CONVOLUTIONS = {
    # name: (c1, c2, k, s)
    "image": (3, 16, 3, 2),  # of bytes
    "first": (6, 20, 3, 1),  # channels that fill no block
    "second": (20, 20, 3, 1),
    "depthwise": (20, 20, 5, 1),
    "down": (20, 24, 3, 2),
    "mixed": (44, 10, 1, 1),
    "wide": (10, 7, 5, 1),
}
GROUPS = {"depthwise": 20}
DIVISOR = 128


class Graph:
    """Compiled once for any size, in both precisions: two tables of kernels."""

    def __init__(self) -> None:
        from max import driver
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import DeviceRef, TensorType
        from max.graph import Graph as MaxGraph

        from yolo_max.runtime.kernel_package import precompile

        rng = np.random.default_rng(3)
        self.tensors: dict[str, NDArray[np.float32]] = {}
        for name, (c1, c2, k, _) in CONVOLUTIONS.items():
            c1 //= GROUPS.get(name, 1)
            filters = rng.standard_normal((k, k, c1, c2)) / np.sqrt(k * k * c1)
            self.tensors[f"{name}.weight"] = filters.astype(np.float32)
            self.tensors[f"{name}.bias"] = rng.standard_normal(c2).astype(np.float32)
        self.registry: dict[str, NDArray[Any]] = {}
        cpu = DeviceRef.CPU()
        inputs = [
            TensorType(DType.float32, ["batch", "height", "width", 6], cpu),
            TensorType(DType.uint8, ["batch", "height", "width", 3], cpu),
            TensorType(DType.float32, [1], cpu),  # the run: its threads
        ]
        with MaxGraph("plain", input_types=inputs, custom_extensions=[precompile().result()]) as graph:
            x, image = (each.tensor for each in graph.inputs[:2])
            graph.output(*self._outputs(x, image, F32), *self._outputs(x, image, BF16))
        session = InferenceSession(devices=[driver.CPU()])
        self.model = session.init(session.compile(graph), weights_registry=self.registry)

    def _outputs(self, x: Any, image: Any, precision: Precision) -> Iterator[Any]:
        from max.dtype import DType
        from max.graph import ops as max_ops

        from yolo_max.kernels.feature_map import FeatureMap, concat, materialise
        from yolo_max.kernels.ops import conv2d, conv_weights
        from yolo_max.kernels.pools import max_pool

        def conv(x: Any, name: str, **options: Any) -> FeatureMap:
            c1, c2, k, s = CONVOLUTIONS[name]
            groups = GROUPS.get(name, 1)
            kernel = ConvKernel.choose(c1, k, s, precision, c2=c2, groups=groups)
            weight, bias = conv_weights(kernel, c1, c2, k, precision, f"{precision}.{name}.", groups=groups)
            own = {each: self.tensors[f"{name}.{each}"] for each in ("weight", "bias")}
            packed = pack_weights({f"{name}.{k}": v for k, v in own.items()}, {name: kernel}, precision)
            self.registry |= {f"{precision}.{key}": value for key, value in packed.items()}
            return conv2d(x, weight, bias, kernel, c2, k, s, groups=groups, precision=precision, **options)

        first = conv(x, "first", activation=SILU)
        second = conv(first, "second", activation=SILU, residual=first)
        gate = {"residual": second, "residual_first": True, "factor": first}
        pooled = max_pool(conv(second, "depthwise", activation=RELU, **gate), 3)
        down = conv(pooled, "down")
        mixed = conv(concat([down.upsample(), pooled]), "mixed", activation=SILU)
        wide = conv(materialise(mixed), "wide")
        for y in (conv(image, "image", divisor=DIVISOR), down, wide):
            yield max_ops.cast(materialise(y), DType.float32)

    def __call__(
        self, x: NDArray[np.float32], image: NDArray[np.uint8], threads: int = 2
    ) -> list[NDArray[np.float32]]:
        from max.driver import Buffer

        run = np.array([threads], np.float32)
        return [y.to_numpy() for y in self.model.execute(*map(Buffer.from_numpy, (x, image, run)))]

    def expected(self, x: NDArray[np.float32], image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        functional = torch.nn.functional

        def conv(x: Any, name: str) -> Any:
            filters, bias = (
                torch.from_numpy(self.tensors[f"{name}.{each}"]).double() for each in ("weight", "bias")
            )
            k, s = CONVOLUTIONS[name][2:]
            return functional.conv2d(x, filters.permute(3, 2, 0, 1), bias, s, k // 2, 1, GROUPS.get(name, 1))

        values, pixels = (torch.from_numpy(each).double().permute(0, 3, 1, 2) for each in (x, image))
        first = functional.silu(conv(values, "first"))
        second = functional.silu(conv(first, "second")) + first
        pooled = functional.max_pool2d((conv(second, "depthwise") + second).relu() * first, 3, 1, 1)
        down = conv(pooled, "down")
        mixed = functional.silu(
            conv(torch.cat([functional.interpolate(down, scale_factor=2), pooled], 1), "mixed")
        )
        outputs = conv(pixels / DIVISOR, "image"), down, conv(mixed, "wide")
        return [y.permute(0, 2, 3, 1).numpy() for y in outputs]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [
        (1, 24, 32),
        (3, 10, 6),  # neither whole tiles nor whole rows of them
        (2, 2, 2),  # down to one pixel
    ],
)
def test_a_graph_is_what_pytorch_computes(graph: Graph, batch: int, height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    x = rng.standard_normal((batch, height, width, 6)).astype(np.float32)
    image = rng.integers(0, 256, (batch, height, width, 3), np.uint8)
    outputs, exact = graph(x, image), graph.expected(x, image)
    for got, expected in zip(outputs[:3], exact, strict=True):
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= 2e-5 * max(1, np.abs(expected).max())
    for got, expected in zip(outputs[3:], exact, strict=True):
        # A few roundings to eight bits lie one behind the other.
        assert np.sqrt(np.mean((got - expected) ** 2)) <= 0.02 * np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize("threads", [0, 1, 7])
def test_any_number_of_threads_gives_the_same(graph: Graph, threads: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 40, 72, 6)).astype(np.float32)
    image = rng.integers(0, 256, (2, 40, 72, 3), np.uint8)
    for got, expected in zip(graph(x, image, threads), graph(x, image), strict=True):
        np.testing.assert_array_equal(got, expected)
