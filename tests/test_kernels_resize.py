"""Resizing, called without a graph, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import F32, poisoned, single
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels.kernel_table import POOLS
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.resize import RESIZE, Resize

torch = pytest.importorskip("torch")

MODES: dict[Resize, dict[str, Any]] = {
    Resize.NEAREST: {"mode": "nearest"},
    Resize.NEAREST_EXACT: {"mode": "nearest-exact"},
    Resize.BILINEAR: {"mode": "bilinear", "align_corners": False},
    Resize.BILINEAR_ALIGNED: {"mode": "bilinear", "align_corners": True},
}


def run(
    kernels: Kernels, x: Map, mode: Resize, result: NDArray[Any], scale: tuple[float, float] | None = None
) -> None:
    bits = [0, 0] if scale is None else [int(np.float32(1 / each).view(np.int32)) for each in scale]
    kernels.run(POOLS, RESIZE, [mode, *bits], [x], None, None, result)


def resize_and_check(
    kernels: Kernels,
    shape: tuple[int, int, int, int],
    mode: Resize,
    precision: Precision,
    size: tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
) -> None:
    rng = np.random.default_rng(shape[1])
    tensor = np.full((*shape[:3], shape[3] + 5), np.nan, np.float32)
    tensor[..., 2:-3] = rng.uniform(1, 2, shape)
    x = Map(stored(tensor, precision), 2, shape[3])
    # In float32, for the pixels taken depend on the type in which PyTorch computes.
    nchw = torch.from_numpy(np.ascontiguousarray(loaded(x.values()).transpose(0, 3, 1, 2)))
    expected = torch.nn.functional.interpolate(nchw, size, scale, **MODES[mode]).permute(0, 2, 3, 1).numpy()
    result = poisoned(expected.shape, precision)
    run(kernels, x, mode, result, scale)
    if mode in (Resize.NEAREST, Resize.NEAREST_EXACT):
        np.testing.assert_array_equal(loaded(result), expected)
    else:
        assert np.isfinite(loaded(result)).all()
        # Weights are in float32 here and there: coordinates up to 100 leave an error of 2^-18 of a pixel.
        unit = 2.0**-17 if precision is F32 else 2.0**-8
        assert (np.abs(loaded(result) - expected) <= unit * expected).all()


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("mode", Resize)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 10, 12, 64), (20, 24)),  # doubled
        ((2, 7, 5, 20), (7, 5)),  # as it is
        ((1, 16, 12, 33), (5, 7)),  # smaller
        ((1, 3, 4, 16), (100, 77)),  # much larger
        ((1, 1, 1, 8), (4, 3)),  # of one pixel
        ((1, 9, 8, 17), (1, 1)),  # to one pixel
        ((1, 100, 3, 5), (37, 90)),  # one axis smaller, one larger
    ],
)
def test_resize_to_a_size(
    kernels: Kernels,
    shape: tuple[int, int, int, int],
    size: tuple[int, int],
    mode: Resize,
    precision: Precision,
) -> None:
    resize_and_check(kernels, shape, mode, precision, size=size)


@pytest.mark.parametrize("mode", [Resize.NEAREST, Resize.NEAREST_EXACT, Resize.BILINEAR])
@pytest.mark.parametrize("scale", [(2.0, 2.0), (1.7, 2.3), (0.6, 0.31), (3.0, 0.5)])
def test_resize_by_a_scale(kernels: Kernels, scale: tuple[float, float], mode: Resize) -> None:
    resize_and_check(kernels, (1, 13, 10, 20), mode, F32, scale=scale)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    mode=st.sampled_from(Resize),
)
def test_any_geometry(kernels: Kernels, shape: tuple[int, int], size: tuple[int, int], mode: Resize) -> None:
    resize_and_check(kernels, (1, *shape, 3), mode, F32, size=size)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("mode", Resize)
@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
@pytest.mark.parametrize("channels", [16, 21])
def test_nothing_is_touched_outside_of_the_maps(
    kernels: Kernels, channels: int, at_end: bool, mode: Resize, precision: Precision
) -> None:
    memory = Guarded(at_end=at_end)
    x = Map(memory.copy(stored(np.ones((1, 5, 6, channels), np.float32), precision)))
    result = memory.copy(poisoned((1, 9, 4, channels), precision))

    def check() -> None:
        run(single(kernels), x, mode, result)
        np.testing.assert_array_equal(loaded(result), 1)
        assert memory.intact()

    assert survives(check)


def test_a_result_of_other_channels_is_refused(kernels: Kernels) -> None:
    x = Map(np.zeros((1, 4, 4, 8), np.float32))
    with pytest.raises(ValueError, match="a map of 8 channels cannot be resized to one of 9"):
        run(kernels, x, Resize.NEAREST, np.zeros((1, 8, 8, 9), np.float32))


@pytest.mark.parametrize("size", [(0, 4), (4, 0)], ids=str)
def test_an_empty_map_is_refused(kernels: Kernels, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="an empty map cannot be resized"):
        run(
            kernels,
            Map(np.zeros((1, *size, 8), np.float32)),
            Resize.BILINEAR,
            np.zeros((1, 8, 8, 8), np.float32),
        )
