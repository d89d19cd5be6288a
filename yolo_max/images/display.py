"""Display matrices: how a video's frames are turned and mirrored to be displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def display_matrix(picture: Any) -> NDArray[np.int32] | None:
    """The display matrix of a decoded frame, as for `displayed`; None without one."""
    matrix = picture.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def is_turned(matrix: NDArray[np.int32]) -> bool:
    """Whether a display matrix makes rows into columns, to the nearest quarter."""
    a, b, c, d = (abs(int(matrix[i])) for i in (0, 1, 3, 4))
    return b + c > a + d


def displayed(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turns and mirrors pixels by a display matrix, to the nearest quarter.

    Args:
        pixels: uint8 [H, W, 3].
        matrix: int32 [9] of ISO/IEC 14496-12, 6.2.2: (a, b, u, c, d, v, x, y, w), by which a point (p, q) is
            displayed at (a p + c q, b p + d q).

    Returns:
        uint8, C-contiguous.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if is_turned(matrix):
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
