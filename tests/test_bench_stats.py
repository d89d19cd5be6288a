"""The benchmark's statistics, against figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from yolo_max.bench.stats import Latency, Spread, round_medians, speed_up


def test_latency_pools_the_rounds() -> None:
    # 1, 2, 3, 4, 5: the 90th percentile lies at index 3.6, the 99th at 3.96.
    latency = Latency.of([[3, 1, 2], [5, 4]])
    assert (latency.p50, latency.min, latency.count) == (3, 1, 5)
    assert latency.p90 == pytest.approx(4.6)
    assert latency.p99 == pytest.approx(4.96)


def test_a_ratio_is_taken_within_each_round() -> None:
    engine = [[10, 10, 99], [20, 20, 20], [10, 10, 10]]  # medians 10, 20, 10
    peer = [[20, 20, 20], [50, 50, 1], [30, 30, 30]]  # medians 20, 50, 30
    assert round_medians(engine) == [10, 20, 10]
    # Ratios 2, 2.5, 3: their quartiles lie half-way between them.
    assert speed_up(engine, peer) == Spread(2.5, 2.25, 2.75)


def test_a_slow_phase_of_the_machine_leaves_the_ratio_alone() -> None:
    slowness = [1, 1, 9, 1, 5]
    engine = [[10 * slow] * 4 for slow in slowness]
    peer = [[25 * slow] * 4 for slow in slowness]
    assert speed_up(engine, peer) == Spread(2.5, 2.5, 2.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Latency.of([[], []]),
        lambda: Spread.of([]),
        lambda: speed_up([[1.0]], [[1.0], [2.0]]),  # not the same rounds
    ],
)
def test_statistics_of_nothing_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"There are no|shorter|longer"):
        call()
