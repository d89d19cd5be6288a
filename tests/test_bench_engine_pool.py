"""Engines that are timed in turn."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from bench_fakes import SETUP, spec

from yolo_max.bench import plan
from yolo_max.bench.engine_pool import EnginePool
from yolo_max.bench.engines import EngineSpec
from yolo_max.bench.plan import Plan
from yolo_max.bench.stats import speed_up
from yolo_max.engine.process import EngineProcessError

pytestmark = pytest.mark.usefixtures("fake_engines")

QUICK = Plan((64, 64), 1, (plan.SINGLE_STREAM, plan.OFFLINE), rounds=4, seconds=0.01, quick=True)


def pool_of(
    specs: list[EngineSpec], failures: dict[str, str], limits: tuple[float, float] = (30, 30)
) -> EnginePool:
    def failed(key: str, failure: EngineProcessError) -> None:
        failures[key] = str(failure)

    return EnginePool(specs, SETUP, {"height": 64, "width": 64}, failed, lambda step: None, limits)


def test_engines_are_timed_in_rounds_of_random_order() -> None:
    specs = [spec("quick", milliseconds=1), spec("slow", milliseconds=90), spec("middle", milliseconds=30)]
    with pool_of(specs, {}) as engines:
        result = engines.measure(QUICK.base, QUICK, random.Random(1))
    assert [sorted(order) for order in result.orders] == [["middle", "quick", "slow"]] * 4
    assert len({tuple(order) for order in result.orders}) > 1
    assert {key: len(rounds) for key, rounds in result.samples.items()} == dict.fromkeys(result.samples, 4)
    assert speed_up(result.samples["quick"], result.samples["slow"]).median > 1.5
    assert speed_up(result.samples["slow"], result.samples["middle"]).median < 1
    rng = random.Random(1)  # the seed alone decides
    assert result.orders == [rng.sample([each.key for each in specs], 3) for _ in range(4)]


def test_one_engine_that_fails_costs_nobody_else_anything() -> None:
    failures: dict[str, str] = {}
    specs = [
        spec("good"),
        spec("no import", import_error="no such library"),
        spec("dies", dies_after=12),
        spec("hangs", hangs_after=12),
        spec("small", largest_batch=1),
    ]
    with pool_of(specs, failures, limits=(10, 2)) as engines:
        assert engines.keys == ["good", "dies", "hangs", "small"]
        first = engines.measure(QUICK.base, QUICK, random.Random(0))
        second = engines.measure(replace(QUICK.base, batch=4), QUICK, random.Random(0))
    assert failures["no import"] == "ImportError: no such library"
    assert failures["dies"] == "its process ended with exit code 3"
    assert failures["hangs"].startswith("no answer within ")
    # An engine that failed half-way has no figure.
    assert first.samples.keys() == {"good", "small"}
    assert second.samples.keys() == {"good"}
    assert second.skipped == {"small": "it takes small batches only"}
