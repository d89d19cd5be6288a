"""Shapes of products in a graph (``kernels/products.py``)."""

from __future__ import annotations

import pytest


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
