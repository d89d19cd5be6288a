"""Samples to figures.

A shared machine is slow for seconds at a time, so engines are never compared across moments: a ratio is taken
within each round, where both ran next to each other, and the median of those ratios is reported with its
quartiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

Rounds = Sequence[Sequence[float]]
"""Samples of one engine, round by round."""


@dataclass(frozen=True)
class Latency:
    """Percentiles over the samples of all rounds, in the samples' unit.

    Attributes:
        p50: Median.
        p90: 90th percentile.
        p99: 99th percentile; with fewer than 100 samples, close to the largest.
        min: Smallest sample.
        count: Number of samples.
    """

    p50: float
    p90: float
    p99: float
    min: float
    count: int

    @classmethod
    def of(cls, rounds: Rounds) -> Latency:
        """Pools the rounds.

        Raises:
            ValueError: There are no samples.
        """
        samples = list(chain.from_iterable(rounds))
        if not samples:
            raise ValueError("There are no samples.")
        p50, p90, p99 = np.percentile(samples, (50, 90, 99))
        return cls(float(p50), float(p90), float(p99), min(samples), len(samples))


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median and quartiles, interpolated linearly.

        Raises:
            ValueError: There are no values.
        """
        if not values:
            raise ValueError("There are no values.")
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high))


def round_medians(rounds: Rounds) -> list[float]:
    """The median of each round."""
    return [float(np.median(samples)) for samples in rounds]


def speed_up(engine: Rounds, peer: Rounds) -> Spread:
    """How many times as fast as ``peer`` an engine is.

    Args:
        engine: Its times.
        peer: The peer's times, from the same rounds.

    Returns:
        Over the rounds, the spread of the peer's median time divided by the engine's.

    Raises:
        ValueError: The two do not have the same number of rounds.
    """
    pairs = zip(round_medians(peer), round_medians(engine), strict=True)
    return Spread.of([theirs / ours for theirs, ours in pairs])
