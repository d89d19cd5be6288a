"""Views copied into one tensor, called without a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded import Guarded, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import poisoned, single
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels.call import COPY
from yolo_max.kernels.kernel_table import COPIES
from yolo_max.kernels.precision import Precision

Level = tuple[int, int, list[tuple[int, int, bool]]]
"""Height, width and slices: first channel, channels, whether they are doubled."""


def run(kernels: Kernels, views: list[list[Map]], result: NDArray[Any]) -> None:
    params = [len(views), *map(len, views)]
    kernels.run(COPIES, COPY, params, [part for view in views for part in view], None, None, result)


def view_of(level: Level, batch: int, precision: Precision) -> list[Map]:
    height, width, slices = level
    rng = np.random.default_rng(height * width)
    maps = []
    for start, channels, doubled in slices:
        sides = (height // 2, width // 2) if doubled else (height, width)
        tensor = np.full((batch, *sides, start + channels + 3), np.nan, np.float32)
        tensor[..., start:-3] = rng.uniform(1, 2, (batch, *sides, channels))
        maps.append(Map(stored(tensor, precision), start, channels, doubled))
    return maps


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "levels",
    [
        [(5, 6, [(0, 16, False), (3, 21, False)])],  # concatenated channels
        [(5, 6, [(7, 40, False)])],  # channels of a wider tensor
        [(6, 8, [(1, 5, True), (0, 1, False), (2, 33, True)])],  # some doubled
        [(8, 8, [(0, 24, False)]), (4, 4, [(2, 20, False), (0, 4, False)]), (1, 2, [(1, 24, False)])],
        [(1, 1, [(0, 5000, False), (1, 9000, False), (0, 3, False)])],  # long pixels: another axis
    ],
    ids=["concatenated", "sliced", "doubled", "levels", "long"],
)
def test_views_become_one_tensor(
    kernels: Kernels, levels: list[Level], batch: int, precision: Precision
) -> None:
    views = [view_of(level, batch, precision) for level in levels]
    flat = [
        np.concatenate([loaded(part.values()) for part in view], axis=3).reshape(batch, height * width, -1)
        for view, (height, width, _) in zip(views, levels, strict=True)
    ]
    expected = np.concatenate(flat, axis=1)[:, None]
    result = poisoned(expected.shape, precision)
    run(kernels, views, result)
    np.testing.assert_array_equal(loaded(result), expected)


@st.composite
def any_levels(draw: st.DrawFn) -> list[Level]:
    """Up to three views of equally many channels, of one to three slices each."""
    channels = draw(st.integers(1, 80))
    levels = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        ends = sorted(draw(st.sets(st.integers(1, channels - 1), max_size=2)) if channels > 1 else [])
        sizes = [end - begin for begin, end in zip([0, *ends], [*ends, channels], strict=True)]
        even = height % 2 == width % 2 == 0
        levels.append(
            (
                height,
                width,
                [(draw(st.integers(0, 20)), size, even and draw(st.booleans())) for size in sizes],
            )
        )
    return levels


@settings(max_examples=40)
@given(levels=any_levels(), batch=st.integers(1, 3), precision=st.sampled_from(Precision))
def test_any_views(kernels: Kernels, levels: list[Level], batch: int, precision: Precision) -> None:
    test_views_become_one_tensor(kernels, levels, batch, precision)


@pytest.mark.parametrize("at_end", [True, False], ids=["up to the end", "from the beginning"])
def test_nothing_is_touched_outside_of_the_tensors(kernels: Kernels, at_end: bool) -> None:
    memory = Guarded(at_end=at_end)
    views = [[Map(memory.copy(np.ones((1, 3, 5, channels), np.float32))) for channels in (16, 21)]]
    result = memory.copy(poisoned((1, 3, 5, 37), Precision.F32))

    def check() -> None:
        run(single(kernels), views, result)
        np.testing.assert_array_equal(result, 1)
        assert memory.intact()

    assert survives(check)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 4, 9), "1 images of 8 channels cannot be copied to 1 of 9"),
        ((2, 4, 4, 8), "1 images of 8 channels cannot be copied to 2 of 8"),
        ((1, 4, 3, 8), "views of more than 12 pixels cannot be copied to as many"),
        ((1, 4, 5, 8), "views of 16 pixels cannot be copied to 20"),
    ],
)
def test_a_result_of_another_size_is_refused(
    kernels: Kernels, shape: tuple[int, int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(kernels, [[Map(np.zeros((1, 4, 4, 8), np.float32))]], np.zeros(shape, np.float32))
