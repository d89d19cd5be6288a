"""Layer norm, called without a graph, against PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import F32, poisoned, single
from kernel_library import Kernels, Map
from numpy.typing import NDArray

from yolo_max.kernels.kernel_table import NORMS
from yolo_max.kernels.norms import LAYER_NORM

torch = pytest.importorskip("torch")


def run(
    kernels: Kernels,
    x: Map,
    result: NDArray[np.float32],
    weight: NDArray[np.float32] | None = None,
    bias: NDArray[np.float32] | None = None,
    eps: float = 1e-5,
) -> None:
    params = [int(np.float32(eps).view(np.int32)), int(weight is not None), int(bias is not None)]
    kernels.run(NORMS, LAYER_NORM, params, [x], weight, bias, result)


@pytest.mark.parametrize("offset", [0.0, 1000.0], ids=["centred", "far from 0"])
@pytest.mark.parametrize("factors", [(True, True), (True, False), (False, False)], ids=str)
@pytest.mark.parametrize(
    ("rows", "channels"),
    [
        (1, 1),  # of one number: 0
        (3, 16),  # a block
        (5, 21),  # and a part of one
        (200, 768),  # on several threads
    ],
)
def test_layer_norm(
    kernels: Kernels, rows: int, channels: int, factors: tuple[bool, bool], offset: float
) -> None:
    rng = np.random.default_rng(channels)
    tensor = np.full((1, 1, rows, channels + 3), np.nan, np.float32)
    tensor[..., 1:-2] = rng.standard_normal((rows, channels)) + offset
    weight, bias = (rng.standard_normal(channels).astype(np.float32) if given else None for given in factors)
    x = torch.from_numpy(tensor[..., 1:-2].copy())
    tensors = [None if each is None else torch.from_numpy(each) for each in (weight, bias)]
    plain = torch.nn.functional.layer_norm(x, [channels], *tensors).numpy()
    doubles = [None if each is None else each.double() for each in tensors]
    exact = torch.nn.functional.layer_norm(x.double(), [channels], *doubles).numpy()
    result = poisoned(exact.shape, F32)
    run(kernels, Map(tensor, 1, channels), result, weight, bias)
    theirs = np.abs(plain - exact).max()
    assert np.abs(result - exact).max() <= max(2 * theirs, 1e-6)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 40),
    channels=st.integers(1, 100),
    factors=st.tuples(st.booleans(), st.booleans()),
    offset=st.sampled_from([0.0, 1000.0]),
)
def test_any_size(
    kernels: Kernels, rows: int, channels: int, factors: tuple[bool, bool], offset: float
) -> None:
    test_layer_norm(kernels, rows, channels, factors, offset)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_what_is_no_number_spoils_its_row_alone(kernels: Kernels, value: float) -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 3, 20)).astype(np.float32)
    x[0, 0, 1, 5] = value
    result = np.zeros_like(x)
    run(kernels, Map(x), result)
    assert np.isnan(result[0, 0]).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
def test_nothing_is_touched_outside_of_the_arrays(kernels: Kernels, at_end: bool) -> None:
    memory = Guarded(at_end=at_end)
    x = Map(memory.copy(np.ones((1, 1, 4, 21), np.float32)))
    weight, bias = (memory.copy(np.full(21, value, np.float32)) for value in (2, 3))
    result = memory.copy(poisoned((1, 1, 4, 21), F32))

    def check() -> None:
        run(single(kernels), x, result, weight, bias)
        np.testing.assert_array_equal(result, 3)
        assert memory.intact()

    assert survives(check)


def test_a_result_of_other_channels_is_refused(kernels: Kernels) -> None:
    x: Any = Map(np.zeros((1, 1, 4, 8), np.float32))
    with pytest.raises(ValueError, match="a norm of 8 channels does not have 9"):
        run(kernels, x, np.zeros((1, 1, 4, 9), np.float32))
