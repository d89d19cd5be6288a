"""Results to figures: every number that a table or a plot shows is computed here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from yolo_max.bench.plan import END_TO_END, GROWTH, OFFLINE, SINGLE_STREAM, STAGES, Case
from yolo_max.bench.results import CaseResult, ColdStart, Results
from yolo_max.bench.stats import Latency, Rounds, Spread, round_medians, speed_up

Figures = dict[str, Any]
T = TypeVar("T")


def summarise(results: Results) -> Figures:
    """The figures of a run, in plain JSON types.

    Returns:
        ``single_stream``, ``offline`` (by batch), ``end_to_end``, ``cold_start`` by engine, in the registry's
        order; ``growth`` by what grows; a scenario that was not measured is empty. ``headline``: the first
        MAX engine that may be compared, against all others.
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


def ratio(results: Results, case: Case, engine: str, peer: str) -> Spread | None:
    """How many times as fast as ``peer`` an engine is at a case.

    None where one of them has no samples there, or did not pass its parity check: then nothing is to be said.
    """
    found = results.case(case)
    if found is None or not {engine, peer} <= found.samples.keys():
        return None
    if not (results.engine(engine).comparable and results.engine(peer).comparable):
        return None
    return speed_up(found.samples[engine], found.samples[peer])


def _single_stream(results: Results) -> Figures:
    found = results.case(results.plan.base)
    return {
        key: {
            **asdict(Latency.of(rounds)),
            "round_medians": round_medians(rounds),
            "speed_up": _optional(ratio(results, results.plan.base, key, results.against)),
        }
        for key, rounds in _in_order(results, found.samples if found else {})
    }


def _throughput(results: Results, case: Case) -> Figures:
    found = results.case(case)
    return {
        key: {
            "images_per_second": asdict(_images_per_second(case, rounds)),
            "speed_up": _optional(ratio(results, case, key, results.against)),
        }
        for key, rounds in _in_order(results, found.samples if found else {})
    }


def _end_to_end(results: Results) -> Figures:
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


def _cold_start(results: Results) -> Figures:
    grouped: dict[str, dict[str, list[ColdStart]]] = {}
    for start in results.cold:
        grouped.setdefault(start.engine, {}).setdefault(start.cache, []).append(start)
    return {
        key: {cache: _median_start(same) for cache, same in by_cache.items()}
        for key, by_cache in _in_order(results, grouped)
    }


def _median_start(starts: list[ColdStart]) -> Figures:
    """The start whose total is the median one (of two, the slower): its phases add up, as medians do not."""
    start = sorted(starts, key=lambda each: each.total_ms)[len(starts) // 2]
    return {
        "phases": start.phases,
        "total_ms": start.total_ms,
        "peak_mib": start.peak_mib,
        "starts": len(starts),
    }


def _curves(
    results: Results,
    cases: list[Case],
    name: Callable[[Case], str],
    figure: Callable[[Case, Rounds], Spread],
) -> dict[str, dict[str, Figures]]:
    """By engine, by point of the axis: a median with its quartiles over the rounds."""
    curves: dict[str, dict[str, Figures]] = {}
    found: list[CaseResult] = [each for case in cases if (each := results.case(case)) is not None]
    for each in found:
        for key, rounds in each.samples.items():
            curves.setdefault(key, {})[name(each.case)] = asdict(figure(each.case, rounds))
    return dict(_in_order(results, curves))


def _headline(results: Results) -> list[Figures]:
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


def _in_order(results: Results, by_key: Mapping[str, T]) -> list[tuple[str, T]]:
    """By the registry's order of engines; what is none of them comes last."""
    keys = [engine.key for engine in results.engines]
    return sorted(by_key.items(), key=lambda item: keys.index(item[0]) if item[0] in keys else len(keys))


def _optional(spread: Spread | None) -> Figures | None:
    return asdict(spread) if spread else None
