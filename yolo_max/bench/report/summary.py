"""Results to figures: every number in a table or plot is computed here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from yolo_max.bench.plan import END_TO_END, GROWTH, OFFLINE, SINGLE_STREAM, STAGES, Case
from yolo_max.bench.results import BenchResults, CaseResult, ColdStart
from yolo_max.bench.stats import Latency, Rounds, Spread, round_medians, speed_up

Figures = dict[str, Any]
T = TypeVar("T")


def summarise(results: BenchResults) -> Figures:
    """The figures of a run, in plain JSON types.

    Returns:
        ``single_stream``, ``offline`` (by batch), ``end_to_end``, ``cold_start`` by engine, in the registry's
        order; ``growth`` by axis; empty for a scenario that was not measured. ``headline``: the first
        comparable MAX engine against all others.
    """
    plan, growth = results.plan, GROWTH in results.plan.scenarios
    return {
        "against": results.against,
        "single_stream": _single_stream(results) if SINGLE_STREAM in plan.scenarios else {},
        "offline": {
            case.batch: _throughput(results, case)
            for case in (plan.offline_cases() if OFFLINE in plan.scenarios else [])
        },
        "end_to_end": _end_to_end(results) if END_TO_END in plan.scenarios else {},
        "cold_start": _cold_start(results),
        "growth": {
            "batch": _curves(results, plan.batch_cases(), lambda c: str(c.batch), _images_per_second),
            "imgsz": _curves(results, plan.size_cases(), _size, _p50),
            "threads": _curves(results, plan.thread_cases(), lambda c: str(c.threads), _images_per_second),
            "images": [asdict(point) for point in results.stream],
        }
        if growth
        else {},
        "headline": _headline(results),
    }


def ratio(results: BenchResults, case: Case, engine: str, peer: str) -> Spread | None:
    """How many times as fast as ``peer`` an engine is at a case.

    None if one of them has no samples there, or did not pass its parity check.
    """
    found = results.case(case)
    if found is None or not {engine, peer} <= found.samples.keys():
        return None
    if not (results.engine(engine).comparable and results.engine(peer).comparable):
        return None
    return speed_up(found.samples[engine], found.samples[peer])


def _single_stream(results: BenchResults) -> Figures:
    found = results.case(results.plan.base)
    return {
        key: {
            **asdict(Latency.of(rounds)),
            "round_medians": round_medians(rounds),
            "speed_up": _optional(ratio(results, results.plan.base, key, results.against)),
        }
        for key, rounds in _in_order(results, found.samples if found else {})
    }


def _throughput(results: BenchResults, case: Case) -> Figures:
    found = results.case(case)
    return {
        key: {
            "images_per_second": asdict(_images_per_second(case, rounds)),
            "speed_up": _optional(ratio(results, case, key, results.against)),
        }
        for key, rounds in _in_order(results, found.samples if found else {})
    }


def _end_to_end(results: BenchResults) -> Figures:
    figures = {}
    for key, rounds in _in_order(results, results.stages):
        images = list(chain.from_iterable(rounds))
        stages = {stage: float(np.median([image[stage] for image in images])) for stage in STAGES}
        total = sum(stages.values())
        figures[key] = {
            "stages": {stage: {"ms": ms, "share": ms / total} for stage, ms in stages.items()},
            "total_ms": total,
            "images_per_second": 1000 / total,
        }
    return figures


def _cold_start(results: BenchResults) -> Figures:
    grouped: dict[str, dict[str, list[ColdStart]]] = {}
    for start in results.cold:
        grouped.setdefault(start.engine, {}).setdefault(start.cache, []).append(start)
    return {
        key: {cache: _median_start(same) for cache, same in by_cache.items()}
        for key, by_cache in _in_order(results, grouped)
    }


def _median_start(starts: list[ColdStart]) -> Figures:
    """The start with the median total (of two, the slower); unlike medians, its phases add up."""
    start = sorted(starts, key=lambda each: each.total_ms)[len(starts) // 2]
    return {
        "phases": start.phases,
        "total_ms": start.total_ms,
        "peak_mib": start.peak_mib,
        "starts": len(starts),
    }


def _curves(
    results: BenchResults,
    cases: list[Case],
    name: Callable[[Case], str],
    figure: Callable[[Case, Rounds], Spread],
) -> dict[str, dict[str, Figures]]:
    """By engine and point of the axis: the median and quartiles over the rounds."""
    curves: dict[str, dict[str, Figures]] = {}
    found: list[CaseResult] = [each for case in cases if (each := results.case(case)) is not None]
    for each in found:
        for key, rounds in each.samples.items():
            curves.setdefault(key, {})[name(each.case)] = asdict(figure(each.case, rounds))
    return dict(_in_order(results, curves))


def _headline(results: BenchResults) -> list[Figures]:
    leader = next((e.key for e in results.engines if e.key.startswith("max") and e.comparable), None)
    if leader is None:
        return []
    found = {
        e.key: spread
        for e in results.engines
        if e.key != leader and (spread := ratio(results, results.plan.base, leader, e.key)) is not None
    }
    return [{"engine": leader, "peer": peer, **asdict(spread)} for peer, spread in found.items()]


def _images_per_second(case: Case, rounds: Rounds) -> Spread:
    return Spread.of([1000 * case.batch / median for median in round_medians(rounds)])


def _p50(_: Case, rounds: Rounds) -> Spread:
    return Spread.of(round_medians(rounds))


def _size(case: Case) -> str:
    return str(case.width) if case.height == case.width else f"{case.height}x{case.width}"


def _in_order(results: BenchResults, by_key: Mapping[str, T]) -> list[tuple[str, T]]:
    """Items in the registry's order; other keys come last."""
    keys = [engine.key for engine in results.engines]
    return sorted(by_key.items(), key=lambda item: keys.index(item[0]) if item[0] in keys else len(keys))


def _optional(spread: Spread | None) -> Figures | None:
    return asdict(spread) if spread else None
