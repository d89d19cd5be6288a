"""No parity, no speed-up."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_max.bench.results import (
    Parity,
)
from yolo_max.bench.verify import verify


def judge(heads: np.ndarray, reference: np.ndarray, precision: str = "f32") -> Parity:
    exact = reference.astype(np.float64) + np.random.default_rng(1).normal(0, 1e-5, reference.shape)
    return verify(precision, heads.astype(np.float32), reference, exact, (64, 64), (8, 16, 32), 16)


@pytest.mark.parametrize(
    ("noise", "precision", "holds"),
    [
        (0.0, "f32", True),  # PyTorch itself
        (1e-5, "f32", True),  # another order of additions
        (1e-2, "f32", False),  # a mistake
        (np.nan, "f32", False),
        (1e-2, "bf16", True),  # what eight bits of mantissa cost
        (0.3, "bf16", False),  # more than that
        (np.nan, "bf16", False),
    ],
)
def test_parity_is_held_against_the_precision_s_own_bound(noise: float, precision: str, holds: bool) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (2, 84, 67)).astype(np.float32)
    parity = judge(reference + noise * rng.normal(size=reference.shape), reference, precision)
    assert parity.holds is holds
    assert parity.text


def test_a_head_of_another_shape_has_no_parity() -> None:
    reference = np.zeros((1, 84, 67), np.float32)
    assert not judge(reference[:, :80], reference).holds
