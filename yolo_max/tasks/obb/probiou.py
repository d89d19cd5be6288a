"""Probabilistic IoU of rotated boxes (https://arxiv.org/abs/2106.06072), as Ultralytics computes it.

Each box stands for the normal distribution with the mean and the covariance of a uniform one over it; the
similarity of two is 1 minus their Hellinger distance. It is a smooth function of both boxes, and close to
their IoU, but not equal to it: it cannot tell how a square is turned.

The operations are those of ``ultralytics.utils.metrics.batch_probiou``, in the same order, in the type of the
boxes. Only cos, sin, log and exp are computed in float64 and rounded once, for the same result on every
machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.obb.decode import Floats, cos_and_sin

EPS = 1e-7


@dataclass(frozen=True)
class Gaussians:
    """Rotated boxes as normal distributions, arrays of one shape.

    Attributes:
        x: Mean.
        y: Mean.
        a: Variance of x.
        b: Variance of y.
        c: Their covariance.
        determinant: Of the covariance matrix, at least 0.
    """

    x: Floats
    y: Floats
    a: Floats
    b: Floats
    c: Floats
    determinant: Floats

    @classmethod
    def of(cls, xywhr: Floats) -> Gaussians:
        """The distributions of boxes [N, 5]: centre, width, height, angle."""
        x, y, width, height, angle = xywhr.T
        cos, sin = cos_and_sin(angle)
        with np.errstate(over="ignore", invalid="ignore"):
            along, across = width * width / xywhr.dtype.type(12), height * height / xywhr.dtype.type(12)
            cos2, sin2 = cos * cos, sin * sin
            a, b = along * cos2 + across * sin2, along * sin2 + across * cos2
            c = (along - across) * cos * sin
            determinant = np.maximum(a * b - c * c, 0)
        return cls(x, y, a, b, c, determinant)

    def __getitem__(self, index: Any) -> Gaussians:
        return Gaussians(*(each[index] for each in vars(self).values()))


def probiou(first: Floats, second: Floats) -> Floats:
    """The similarity of every pair of boxes.

    Args:
        first: [N, 5] centre, width, height, angle.
        second: [M, 5], of the same dtype.

    Returns:
        [N, M] of that dtype; NaN where numbers overflow, or where rounding leaves no common covariance.
    """
    a, b = Gaussians.of(first)[:, None], Gaussians.of(second)[None, :]
    apart, determinant = _separation(a, b)
    return _similarity(apart, determinant, a.determinant * b.determinant)


def overlaps(first: Gaussians, second: Gaussians, threshold: float) -> NDArray[np.bool_]:
    """Whether the similarity of every pair, in float32, exceeds a threshold.

    Args:
        first: [N], of float32 boxes.
        second: [M].
        threshold: In [0, 1].

    Returns:
        bool [N, M].
    """
    rows, columns = first[:, None], second[None, :]
    apart, determinant = _separation(rows, columns)
    # The shapes of two boxes only add to their distance: most pairs are too far apart whatever they are.
    # (Unless the determinant is mostly rounding, which may also make that term negative, by less than SLACK.)
    most = -math.log(max(1 + EPS - (1 - threshold) ** 2, EPS)) + SLACK
    with np.errstate(over="ignore", invalid="ignore"):
        sound = determinant > WELL_CONDITIONED * ((rows.a + columns.a) * (rows.b + columns.b))
        i, j = np.nonzero(~(sound & (apart > np.float32(most))))
    similarity = _similarity(apart[i, j], determinant[i, j], first.determinant[i] * second.determinant[j])
    found = np.zeros(apart.shape, bool)
    found[i, j] = similarity > np.float32(threshold)
    return found


SLACK = 0.1
WELL_CONDITIONED = np.float32(1e-3)


def _separation(first: Gaussians, second: Gaussians) -> tuple[Floats, Floats]:
    """The part of the Bhattacharyya distance due to the means; the determinant of the summed covariances."""
    eps = first.x.dtype.type(EPS)
    with np.errstate(all="ignore"):  # infinite, or NaN, where numbers overflow
        a, b, c = first.a + second.a, first.b + second.b, first.c + second.c
        dx, dy = first.x - second.x, first.y - second.y
        determinant = a * b - c * c
        squared = (a * (dy * dy) + b * (dx * dx)) / (determinant + eps) * 0.25
        mixed = (c * -dx * dy) / (determinant + eps) * 0.5
        return squared + mixed, determinant


def _similarity(apart: Floats, determinant: Floats, product: Floats) -> Floats:
    """The similarity, given both parts of `_separation` and the product of the determinants."""
    kind = apart.dtype.type
    eps = kind(EPS)
    with np.errstate(all="ignore"):  # NaN where rounding leaves no positive determinant
        ratio = determinant / (4 * np.sqrt(product) + eps) + eps
        shapes = np.log(ratio.astype(np.float64)).astype(kind) * kind(0.5)
        distance = np.clip(apart + shapes, eps, kind(100))
        decay = np.exp(-distance.astype(np.float64)).astype(kind)
        similarity: Floats = 1 - np.sqrt(1 - decay + eps)
    return similarity
