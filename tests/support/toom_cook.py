"""The matrices of fast convolutions, made from their points, to hold the kernels' own against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.kernels.conv_kernel import POLYPHASE, WINOGRAD, ConvKernel
from yolo_max.kernels.packing import POLYPHASE_G, WINOGRAD_G


@dataclass(frozen=True)
class Algorithm:
    """One direction of a convolution with three taps: y = A' [(G g) * (B' d)].

    Attributes:
        kernel: The kernel that computes it in both directions.
        matrix: Its own G, ``[filters, 3]``, whose rows may be scaled.
        filter_of: Which row of G belongs to each point.
        input: B', ``[points, inputs]``.
        filter: G, ``[points, 3]``.
        output: A', ``[4, points]``.
    """

    kernel: ConvKernel
    matrix: NDArray[np.float64]
    filter_of: Sequence[int]
    input: NDArray[np.float64]
    filter: NDArray[np.float64]
    output: NDArray[np.float64]

    @property
    def stride(self) -> int:
        return int(self.input.shape[1] - 3) // 3

    @property
    def scales(self) -> NDArray[np.float64]:
        """What A' and B' together are multiplied with at each point, as G's row is divided by it."""
        own = self.matrix[list(self.filter_of)]
        return np.asarray((self.filter**2).sum(1) / (self.filter * own).sum(1))


def toom_cook(
    points: Sequence[float], outputs: int, taps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """B', G and A' of F(outputs, taps) at these points and infinity (Toom-Cook, transposed)."""
    assert len(points) + 1 == outputs + taps - 1
    others = [[q for q in points if q != p] for p in points]
    to_points = [[0, *np.poly(rest)][::-1] for rest in others] + [np.poly(points)[::-1]]
    filters = [
        [p**k / math.prod(p - q for q in rest) for k in range(taps)]
        for p, rest in zip(points, others, strict=True)
    ]
    from_points = [[p**i for i in range(outputs)] for p in points]
    last = [[0] * (taps - 1) + [1]], [[0] * (outputs - 1) + [1]]
    return np.array(to_points), np.array(filters + last[0]), np.array(from_points + last[1]).T


def _winograd() -> Algorithm:
    a = 45 / 64
    matrices = toom_cook([0, a, -a, 2 * a, -2 * a], 4, 3)
    return Algorithm(WINOGRAD, WINOGRAD_G, range(6), *matrices)


def _polyphase() -> Algorithm:
    """Samples with even index are transformed, those with odd index follow as they are."""
    even_input, even_filter, even_output = toom_cook([1 / 2, -1 / 2, 5 / 4, -5 / 4], 4, 2)
    to_points, filters = np.zeros((9, 9)), np.zeros((9, 3))
    to_points[:5, 0::2] = even_input
    to_points[5:, 1::2] = np.eye(4)
    filters[:5, 0::2] = even_filter
    filters[5:, 1] = 1
    from_points = np.hstack([even_output, np.eye(4)])
    return Algorithm(POLYPHASE, POLYPHASE_G, [0, 1, 2, 3, 4, 5, 5, 5, 5], to_points, filters, from_points)


ALGORITHMS = [pytest.param(each, id=str(each.kernel)) for each in (_winograd(), _polyphase())]
