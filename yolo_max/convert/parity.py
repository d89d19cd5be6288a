"""How near a converted network is to a run in float64, in terms of PyTorch's own float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATIO = 4.0
"""How many times as far from float64 as PyTorch's own float32 an output may be."""
BF16_RATIO = 1.5
"""The same of bfloat16, and of PyTorch's `torch.autocast` to bfloat16."""


def ratio(
    ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]], exact: Sequence[NDArray[Any]]
) -> float:
    """The largest error of any output, as a multiple of PyTorch's largest error in that output.

    Args:
        ours: Outputs.
        theirs: PyTorch's in float32.
        exact: PyTorch's in float64.

    Returns:
        0 where both are exact; infinity for other shapes, for values that are not finite where PyTorch's are,
        and for an error where PyTorch has none.
    """
    if [each.shape for each in ours] != [each.shape for each in exact]:
        return float("inf")
    return max(map(_of_one, ours, theirs, exact), default=0.0)


def _of_one(ours: NDArray[Any], theirs: NDArray[Any], exact: NDArray[Any]) -> float:
    mine, other = (float(np.abs(each.astype(np.float64) - exact).max(initial=0)) for each in (ours, theirs))
    if other == 0 or not np.isfinite(mine):
        return 0.0 if mine == 0 else float("inf")
    return mine / other
