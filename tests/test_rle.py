"""Run lengths of masks against pycocotools and dense masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from yolo_max.tasks import rle

MASKS = {
    "empty": np.zeros((3, 4), bool),
    "full": np.ones((3, 4), bool),  # whole columns, which make one run
    "first pixel": np.eye(3, 4, dtype=bool) & (np.arange(3) == 0)[:, None],
    "last pixel": np.eye(3, 3, dtype=bool) & (np.arange(3) == 2)[:, None],
    "two columns, joined at the foot": np.array([[0, 1], [1, 0], [1, 0]], bool),
    "checkers": np.indices((5, 7)).sum(0) % 2 == 1,
    "one pixel": np.ones((1, 1), bool),
    "a row": np.ones((1, 9), bool),
    "counts of several characters": np.arange(200 * 300).reshape(200, 300) > 30000,
    "shrinking runs": np.tri(90, 70, dtype=bool),
}


def of_mask(mask: NDArray[np.bool_], parts: int = 1) -> NDArray[np.int64]:
    height, width = mask.shape
    return rle.boundaries_of(np.array_split(mask, parts, axis=1), 0, 0, (height, width))


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_counts_are_those_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    height, width = size = mask.shape[0], mask.shape[1]
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    boundaries = of_mask(mask)
    assert rle.encode(boundaries, size) == expected
    assert np.array_equal(rle.decode(expected, size), boundaries)
    assert rle.area(boundaries) == mask.sum()
    window, top, left = rle.window_of(boundaries, size)
    whole = np.zeros((height, width), bool)
    whole[top : top + window.shape[0], left : left + window.shape[1]] = window
    assert np.array_equal(whole, mask)
    if mask.any():
        assert window[0].any()
        assert window[-1].any()
        assert window[:, 0].any()
        assert window[:, -1].any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_random_masks(seed: int, height: int, width: int, density: float) -> None:
    random = np.random.default_rng(seed)
    a, b = random.random((2, height, width)) < density
    size = height, width
    for mask in (a, b):
        text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert rle.encode(of_mask(mask, parts=int(random.integers(1, 4))), size) == text
        assert np.array_equal(rle.decode(text, size), of_mask(mask))
    first, second = of_mask(a), of_mask(b)
    assert rle.intersection(first, second) == (a & b).sum()
    assert rle.iou(first, second) == ((a & b).sum() / (a | b).sum() if (a | b).any() else 1)


def test_a_window_in_strips_is_the_whole_mask() -> None:
    random = np.random.default_rng(0)
    mask = np.zeros((50, 80), bool)
    mask[7:50, 11:64] = random.random((43, 53)) < 0.5  # down to the last row
    strips = (mask[7:, left : left + 10] for left in range(11, 64, 10))
    strips = (strip[:, : 64 - left] for strip, left in zip(strips, range(11, 64, 10), strict=True))
    assert np.array_equal(rle.boundaries_of(strips, 7, 11, (50, 80)), of_mask(mask))


@pytest.mark.parametrize("counts", ["\u00e9", "\ud800"])
def test_letters_do_not_count_as_a_question_mark(counts: str) -> None:
    assert not len(rle.decode("?", (3, 5)))
    with pytest.raises(ValueError, match="counts of a mask's runs"):
        rle.decode(counts, (3, 5))


@pytest.mark.parametrize(
    "counts",
    [
        "",  # nothing
        "o",  # ends in the middle of a count
        "0" * 3,  # no pixels at all
        "=",  # too many
        ";",  # too few
        "1O:",  # a run of negative length
        "\u00e9",  # not ASCII
        "p" * 30 + "0",  # a count of too many characters
        " ",  # below the alphabet
    ],
)
def test_counts_that_are_of_no_such_mask(counts: str) -> None:
    with pytest.raises(ValueError, match="counts of a mask's runs"):
        rle.decode(counts, (3, 4))


@pytest.mark.parametrize("seed", range(20))
def test_a_union_has_the_pixels_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (int(random.integers(1, 9)), int(random.integers(1, 9)))
    masks = random.random((int(random.integers(1, 5)), *size)) < random.random()
    united = rle.union([of_mask(each) for each in masks])
    np.testing.assert_array_equal(united, of_mask(np.asarray(masks.any(axis=0))))
