"""One compiled graph of symbolic sizes with everything but ordinary convolutions, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")

C1, C2 = 24, 40
HEADS, D, DV = 2, 8, 16
STEP = 2 * D + DV
CHANNELS = HEADS * STEP
TRANSPOSED = {"two": (2, 2, 0), "four": (4, 2, 1)}
"""Transposed convolutions, from CHANNELS to C2 channels: kernel, stride, padding."""


def names() -> list[str]:
    """What the graph computes, in order."""
    products = ["matmul", "matmul, transposed", "softmax", "linear", "attention"]
    transposed = [f"transposed {name}" for name in TRANSPOSED]
    averages = ["average", "average without padding", "adaptive average", "global average"]
    sizes = ["nearest", "bilinear", "bilinear, aligned"]
    return [*products, *transposed, "max", "adaptive max", *averages, *sizes]


class Graph:
    """Compiled once, for any size."""

    def __init__(self) -> None:
        from max import driver
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import DeviceRef, TensorType
        from max.graph import Graph as MaxGraph

        from yolo_max.runtime.kernel_package import precompile

        rng = np.random.default_rng(5)
        shapes = {name: (k, k, CHANNELS, C2) for name, (k, _, _) in TRANSPOSED.items()}
        self.tensors = {
            name: (rng.standard_normal(shape) / 8).astype(np.float32)
            for name, shape in {"weight": (C1, C2), "bias": (C2,), **shapes}.items()
        }
        self.registry = {
            "weight": packing.pack_direct(self.tensors["weight"][None, None], Precision.F32),
            "bias": packing.pack_bias(self.tensors["bias"]),
        }
        for name, (_, s, p) in TRANSPOSED.items():
            self.registry[name] = packing.pack_transposed(self.tensors[name], (s, s), (p, p), Precision.F32)
        cpu = DeviceRef.CPU()
        inputs = [
            TensorType(DType.float32, ["batch", 3, "rows", C1], cpu),
            TensorType(DType.float32, [3, C1, C2], cpu),
            TensorType(DType.float32, ["images", "height", "width", CHANNELS], cpu),
            TensorType(DType.float32, [1], cpu),  # the run: its threads
        ]
        with MaxGraph("kernels", input_types=inputs, custom_extensions=[precompile().result()]) as graph:
            graph.output(*self._outputs(*(each.tensor for each in graph.inputs[:3])))
        session = InferenceSession(devices=[driver.CPU()])
        self.model = session.init(session.compile(graph), weights_registry=self.registry)

    def _outputs(self, x: Any, y: Any, map: Any) -> list[Any]:
        from max.dtype import DType
        from max.graph import DeviceRef, Weight

        from yolo_max.kernels.feature_map import materialise
        from yolo_max.kernels.ops import conv_transpose2d
        from yolo_max.kernels.pools import adaptive_average_pool, adaptive_max_pool, average_pool, max_pool
        from yolo_max.kernels.products import Heads, attention, linear, matmul, softmax
        from yolo_max.kernels.resize import Resize, resize

        weights = {
            name: Weight(name, DType.float32, [values.size], DeviceRef.CPU())
            for name, values in self.registry.items()
        }
        weight, bias = weights["weight"], weights["bias"]
        scores = matmul(x, y, alpha=0.5, bias=bias[:C2])
        q, k, v = (Heads(map, start, size, STEP) for start, size in ((0, D), (D, D), (2 * D, DV)))
        height, width = map.shape[1:3]
        maps = [
            *(
                conv_transpose2d(map, weights[name], bias, C2, k, s, padding=p, activation=Activation.SILU)
                for name, (k, s, p) in TRANSPOSED.items()
            ),
            max_pool(map, 3, 2, 1, ceil_mode=True),
            adaptive_max_pool(map, (2, 3)),
            average_pool(map, 3, 2, 1),
            average_pool(map, (1, 3), 1, (0, 1), count_include_pad=False),
            adaptive_average_pool(map, (3, 2)),
            adaptive_average_pool(map, 1),
            resize(map, (height * 2, width * 3), Resize.NEAREST),
            resize(map, (9, 4), Resize.BILINEAR),
            resize(map, (height * 2, width * 2), Resize.BILINEAR_ALIGNED),
        ]
        return [
            scores,
            matmul(x, x, transpose_b=True),
            softmax(scores),
            linear(x, weight, bias, C2, activation=Activation.SILU, residual=scores),
            attention(q, k, v, HEADS),
            *(materialise(each) for each in maps),
        ]

    def __call__(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        from max.driver import Buffer

        run = np.array([2], np.float32)
        return [y.to_numpy() for y in self.model.execute(*map(Buffer.from_numpy, (*inputs, run)))]

    def expected(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        f = torch.nn.functional
        x, y, qkv = (torch.from_numpy(each).double() for each in inputs)
        tensors = {name: torch.from_numpy(values).double() for name, values in self.tensors.items()}
        weight, bias = tensors["weight"], tensors["bias"]
        scores = 0.5 * torch.matmul(x, y) + bias
        rows = qkv.flatten(1, 2).unflatten(2, (HEADS, -1)).transpose(1, 2)
        attended = f.scaled_dot_product_attention(*rows.split([D, D, DV], -1))
        nchw = qkv.permute(0, 3, 1, 2)
        height, width = nchw.shape[2:]
        maps = [
            *(
                f.silu(f.conv_transpose2d(nchw, tensors[name].permute(2, 3, 0, 1), bias, s, p))
                for name, (_, s, p) in TRANSPOSED.items()
            ),
            f.max_pool2d(nchw, 3, 2, 1, ceil_mode=True),
            f.adaptive_max_pool2d(nchw, (2, 3)),
            f.avg_pool2d(nchw, 3, 2, 1),
            f.avg_pool2d(nchw, (1, 3), 1, (0, 1), count_include_pad=False),
            f.adaptive_avg_pool2d(nchw, (3, 2)),
            f.adaptive_avg_pool2d(nchw, 1),
            f.interpolate(nchw, (height * 2, width * 3), mode="nearest"),
            f.interpolate(nchw, (9, 4), mode="bilinear"),
            f.interpolate(nchw, (height * 2, width * 2), mode="bilinear", align_corners=True),
        ]
        outputs = [
            scores,
            x @ x.transpose(-1, -2),
            scores.softmax(-1),
            f.silu(x @ weight + bias) + scores,
            attended.transpose(1, 2).reshape(*qkv.shape[:3], HEADS * DV),
            *(each.permute(0, 2, 3, 1) for each in maps),
        ]
        return [each.numpy() for each in outputs]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


@pytest.mark.parametrize(("batch", "rows", "images", "height", "width"), [(1, 1, 1, 1, 1), (2, 37, 3, 5, 7)])
def test_a_graph_is_what_pytorch_computes(
    graph: Graph, batch: int, rows: int, images: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(rows)
    inputs = [
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((batch, 3, rows, C1), (3, C1, C2), (images, height, width, CHANNELS))
    ]
    for name, got, exact in zip(names(), graph(*inputs), graph.expected(*inputs), strict=True):
        assert got.shape == exact.shape, name
        assert np.abs(got - exact).max() <= 1e-5 * max(1, np.abs(exact).max()), name
