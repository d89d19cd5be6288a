"""Products in a graph of symbolic sizes (``kernels/products.py``), against PyTorch."""

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


class Graph:
    """One of each product."""

    def __init__(self) -> None:
        from max import driver
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import DeviceRef, TensorType, Weight
        from max.graph import Graph as MaxGraph

        from yolo_max.kernels.products import Heads, attention, linear, matmul, softmax
        from yolo_max.runtime.kernel_package import precompile

        rng = np.random.default_rng(5)
        self.weight = rng.standard_normal((C1, C2)).astype(np.float32)
        self.bias = rng.standard_normal(C2).astype(np.float32)
        registry = {
            "weight": packing.pack_direct(self.weight[None, None], Precision.F32),
            "bias": packing.pack_bias(self.bias),
        }
        cpu = DeviceRef.CPU()
        inputs = [
            TensorType(DType.float32, ["batch", 3, "rows", C1], cpu),
            TensorType(DType.float32, [3, C1, C2], cpu),
            TensorType(DType.float32, ["images", "height", "width", HEADS * (2 * D + DV)], cpu),
            TensorType(DType.float32, [1], cpu),  # the run: its threads
        ]
        with MaxGraph("products", input_types=inputs, custom_extensions=[precompile().result()]) as graph:
            x, y, qkv = (each.tensor for each in graph.inputs[:3])
            weight = Weight("weight", DType.float32, [registry["weight"].size], cpu)
            bias = Weight("bias", DType.float32, [registry["bias"].size], cpu)
            scores = matmul(x, y, alpha=0.5, bias=bias[:C2])
            step = 2 * D + DV
            q, k, v = (Heads(qkv, start, size, step) for start, size in ((0, D), (D, D), (2 * D, DV)))
            graph.output(
                scores,
                matmul(x, x, transpose_b=True),
                softmax(scores),
                linear(x, weight, bias, C2, activation=Activation.SILU, residual=scores),
                attention(q, k, v, HEADS),
            )
        session = InferenceSession(devices=[driver.CPU()])
        self.model = session.init(session.compile(graph), weights_registry=registry)

    def __call__(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        from max.driver import Buffer

        run = np.array([2], np.float32)
        return [y.to_numpy() for y in self.model.execute(*map(Buffer.from_numpy, (*inputs, run)))]

    def expected(self, *inputs: NDArray[np.float32]) -> list[Any]:
        x, y, qkv = (torch.from_numpy(each).double() for each in inputs)
        weight, bias = (torch.from_numpy(each).double() for each in (self.weight, self.bias))
        scores = 0.5 * torch.matmul(x, y) + bias
        rows = qkv.flatten(1, 2).unflatten(2, (HEADS, -1)).transpose(1, 2)
        attended = torch.nn.functional.scaled_dot_product_attention(*rows.split([D, D, DV], -1))
        return [
            scores,
            x @ x.transpose(-1, -2),
            scores.softmax(-1),
            torch.nn.functional.silu(x @ weight + bias) + scores,
            attended.transpose(1, 2).reshape(*qkv.shape[:3], HEADS * DV),
        ]


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
        for shape in ((batch, 3, rows, C1), (3, C1, C2), (images, height, width, HEADS * (2 * D + DV)))
    ]
    for got, expected in zip(graph(*inputs), graph.expected(*inputs), strict=True):
        assert got.shape == tuple(expected.shape)
        assert np.abs(got - expected.numpy()).max() <= 1e-5 * max(1, float(expected.abs().max()))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([4, 5], [5, 6], [4, 6]),
        ([7, 4, 5], [5, 6], [7, 4, 6]),
        ([2, 1, 3, 4, 5], [1, 8, 1, 5, 6], [2, 8, 3, 4, 6]),  # repeated by turns: copied
        (["batch", 4, 5], ["batch", 5, 6], ["batch", 4, 6]),
        (["batch", "n", 5], [1, 5, 6], ["batch", "n", 6]),
    ],
    ids=str,
)
def test_shapes_are_pytorchs(a: list[int | str], b: list[int | str], expected: list[int | str]) -> None:
    from max.dtype import DType
    from max.graph import DeviceRef, Shape, TensorType
    from max.graph import Graph as MaxGraph

    from yolo_max.kernels.products import matmul
    from yolo_max.runtime.kernel_package import precompile

    cpu = DeviceRef.CPU()
    types = [TensorType(DType.float32, shape, cpu) for shape in (a, b, [1])]
    with MaxGraph("shapes", input_types=types, custom_extensions=[precompile().result()]) as graph:
        assert matmul(graph.inputs[0].tensor, graph.inputs[1].tensor).shape == Shape(expected)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([4, 5], [6, 7], "Rows of 5 numbers cannot be multiplied by columns of 6"),
        ([2, 4, 5], [3, 5, 7], "cannot be repeated to one shape"),
        ([5], [5, 7], "A matrix has rank 2 or more, not 1"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(a: list[int], b: list[int], message: str) -> None:
    from max.dtype import DType
    from max.graph import DeviceRef, TensorType
    from max.graph import Graph as MaxGraph

    from yolo_max.kernels.products import matmul

    types = [TensorType(DType.float32, shape, DeviceRef.CPU()) for shape in (a, b, [1])]
    with MaxGraph("wrong", input_types=types) as graph, pytest.raises(ValueError, match=message):
        matmul(graph.inputs[0].tensor, graph.inputs[1].tensor)
