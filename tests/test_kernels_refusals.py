"""What the functions for graphs refuse before anything is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from max.dtype import DType
from max.graph import Graph, TensorType, TensorValue, ops

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.call import CPU
from yolo_max.kernels.conv_kernel import DEPTHWISE, DIRECT, POLYPHASE, STEM, WINOGRAD, ConvKernel
from yolo_max.kernels.norms import layer_norm
from yolo_max.kernels.ops import conv2d, conv_transpose2d, conv_weights
from yolo_max.kernels.pools import max_pool
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.products import linear

CHANNELS = 16


@pytest.fixture
def x() -> Iterator[TensorValue]:
    """A map in a graph that is being traced."""
    inputs = [TensorType(DType.float32, [1, 8, 8, CHANNELS], CPU), TensorType(DType.float32, [1], CPU)]
    with Graph("refused", input_types=inputs) as graph:
        yield graph.inputs[0].tensor


@pytest.mark.parametrize(
    ("kernel", "k", "geometry"),
    [
        (WINOGRAD, 3, {"dilation": 2}),
        (WINOGRAD, 3, {"s": 2}),
        (WINOGRAD, 5, {}),
        (POLYPHASE, 3, {"s": 1}),
        (DEPTHWISE, 3, {"groups": 1}),
        (STEM, 3, {}),  # of 16 channels
    ],
    ids=str,
)
def test_a_kernel_for_another_geometry(
    x: TensorValue, kernel: ConvKernel, k: int, geometry: dict[str, Any]
) -> None:
    weight, bias = conv_weights(kernel, CHANNELS, CHANNELS, k, Precision.F32)
    with pytest.raises(ValueError, match=f"The kernel {kernel} does not compute Window.*ConvKernel.choose"):
        conv2d(x, weight, bias, kernel, CHANNELS, k, **geometry)


def packed(c1: int, c2: int, biases: int | None = None) -> tuple[TensorValue, TensorValue]:
    """Filters of a 1x1 convolution, and biases of as many or of other channels."""
    filters = packing.pack_direct(np.ones((1, 1, c1, c2), np.float32), Precision.F32)
    bias = packing.pack_bias(np.ones(c2 if biases is None else biases, np.float32))
    return ops.constant(filters, DType.float32, CPU), ops.constant(bias, DType.float32, CPU)


@pytest.mark.parametrize(
    ("channels", "activation", "named"),
    [
        ((CHANNELS, 40), Activation.NONE, "weights"),
        ((CHANNELS, 20, 40), Activation.NONE, "biases"),
        ((CHANNELS, 20), Activation.PRELU, "biases"),  # without its slopes
    ],
    ids=str,
)
def test_packed_arrays_of_another_size(
    x: TensorValue, channels: tuple[int, ...], activation: Activation, named: str
) -> None:
    refused = pytest.raises(ValueError, match=f"packed {named} have the shape")
    with refused:
        conv2d(x, *packed(*channels), DIRECT, 20, 1, activation=activation)
    with refused:
        conv_transpose2d(x, *packed(*channels), 20, 1, 1, activation=activation)


def test_a_linear_layer_with_weights_of_another_size(x: TensorValue) -> None:
    with pytest.raises(ValueError, match="packed weights have the shape"):
        linear(x, *packed(2 * CHANNELS, 20), 20)


@pytest.mark.parametrize("activation", [Activation.LEAKY_RELU, Activation.PRELU])
def test_a_linear_layer_has_no_slopes(x: TensorValue, activation: Activation) -> None:
    with pytest.raises(ValueError, match=f"no slopes for {activation.name}"):
        linear(x, *packed(CHANNELS, 20), 20, activation=activation)


def test_other_types() -> None:
    with (
        Graph("wrong", input_types=[TensorType(DType.float64, [1, 4, 4, 8], CPU)]) as graph,
        pytest.raises(ValueError, match="read float32 and bfloat16, not float64"),
    ):
        max_pool(graph.inputs[0].tensor, 3)


def test_a_layer_norm_of_another_dtype(x: TensorValue) -> None:
    with pytest.raises(ValueError, match="Layer norm reads float32, not bfloat16"):
        layer_norm(ops.cast(x, DType.bfloat16), None, None, 1e-5)
