"""Which rows an index means: an int, a slice, a mask or indices, as NumPy takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import UsageError
from yolo_max.support.text import shorten


def rows_of(index: Any, count: int) -> int | NDArray[np.intp]:
    """The row that an int means, or intp [N], the rows that anything else means.

    Args:
        index: An int, a slice, a boolean mask or indices, as an array or a list.
        count: The number of rows.

    Raises:
        IndexError: It is out of range, or a mask of another length.
        UsageError: It is of another kind, as one of two dimensions.
    """
    rows = np.asarray(np.arange(count)[index])
    if rows.ndim == 1:
        return rows
    if rows.ndim == 0:
        return int(rows)
    raise UsageError(f"{shorten(index)} selects no rows; use an int, a slice, a mask or indices.")


def ascending(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows, if they are in order.

    Raises:
        UsageError: They are not.
    """
    if (np.diff(rows) < 0).any():
        raise UsageError(
            "a prediction lists the most confident first, so indices must ascend; to go through it the other "
            "way, use reversed."
        )
    return rows
