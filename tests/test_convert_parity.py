"""How near outputs are to float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolo_max.convert.parity import ratio

EXACT = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([EXACT + 3e-7], [EXACT + np.array([0, 1e-7])], 3),
        ([EXACT, EXACT + 2e-7], [EXACT + 1e-7, EXACT - 1e-7], 2),  # the worst output counts
        ([EXACT], [EXACT], 0),
        ([EXACT + 1e-9], [EXACT], math.inf),  # PyTorch makes no error
        ([EXACT * math.nan], [EXACT + 1e-7], math.inf),
        ([EXACT[:1]], [EXACT + 1e-7], math.inf),  # another shape
        ([], [], 0),
    ],
)
def test_the_ratio(ours: list[np.ndarray], theirs: list[np.ndarray], expected: float) -> None:
    assert ratio(ours, theirs, [EXACT] * len(theirs)) == pytest.approx(expected, rel=1e-6)
