"""The simulated cluster keeps to what can be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from simulate_cluster import Cluster, dollars_per_million, simulate

PLAIN = Cluster(
    nodes=5, workers=2, images_per_second=10, spread=0, images=1e4, shard=100, dispatch=0, overhead=0,
    node_hours=1e9,
)  # fmt: skip


def test_without_losses_it_takes_the_ideal_time() -> None:
    found = simulate(PLAIN)
    assert found.hours == pytest.approx(found.ideal_hours)
    assert found.useful == pytest.approx(1)
    assert found.failures == 0
    assert found.lost_images == 0


@pytest.mark.parametrize(
    ("change", "useful"),
    [
        ({"overhead": 10.0}, 0.5),  # as long as the images of a shard
        ({"images": 1001 * 10.0, "shard": 1001}, 1),  # a shard for each worker
        (
            {"images": 1e4 + 100},
            1e4 / 11e3 * 1.01,
        ),  # one shard more than the workers share: a round of its own
        ({"dispatch": 5.0}, 0.2),  # 100 shards, one after another: 500 s and the last one's 10, not 100
    ],
)
def test_what_a_cost_costs(change: dict[str, Any], useful: float) -> None:
    assert simulate(replace(PLAIN, **change)).useful == pytest.approx(useful, rel=0.03)


def test_the_head_is_busy_for_what_it_deals() -> None:
    found = simulate(replace(PLAIN, dispatch=0.5))
    assert found.head * found.hours * 3600 == pytest.approx(0.5 * 100)


def test_failures_cost_what_they_interrupt() -> None:
    """A node fails as often as its mean says, and on average half a shard of each of its workers is lost."""
    cluster = replace(PLAIN, nodes=50, images=2e6, node_hours=0.5, restart=60)
    found = [simulate(cluster, seed) for seed in range(5)]
    hours = sum(each.hours for each in found)
    failures = sum(each.failures for each in found)
    assert failures == pytest.approx(hours * 50 / 0.5, rel=0.25)
    lost = sum(each.lost_images for each in found)
    assert lost == pytest.approx(failures * 2 * 100 / 2, rel=0.25)
    assert all(each.useful < 1 for each in found)


def test_a_seed_gives_the_same_again() -> None:
    cluster = replace(PLAIN, node_hours=1, spread=0.2)
    assert simulate(cluster, 3) == simulate(cluster, 3)
    assert simulate(cluster, 3) != simulate(cluster, 4)


def test_the_cost_of_a_million() -> None:
    # 2 workers x 10 images/s are 72,000 images an hour.
    assert dollars_per_million(0.72, PLAIN, 1) == pytest.approx(10)
    assert dollars_per_million(0.72, PLAIN, 0.5) == pytest.approx(20)
