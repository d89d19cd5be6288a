"""Numbers as text."""

from __future__ import annotations

import numpy as np


def shortest_float(value: np.float32) -> float:
    """The double with the fewest digits that rounds to this float32: 0.1, not 0.10000000149011612."""
    return float(str(value))
