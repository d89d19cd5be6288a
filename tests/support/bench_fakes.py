"""Fake engines for the tests of the benchmark, and how long they are waited for."""

from __future__ import annotations

from typing import Any

from yolo_max.bench.engines import EngineSpec, Setup

LIMIT = 30.0
SETUP = Setup("weights", "onnx", 1, {"head": (0, 1, 2)})
INSTALL = "not installed (pip install no_such_package_anywhere)"


def spec(key: str, label: str | None = None, **options: Any) -> EngineSpec:
    """An engine that runs `bench_runtimes.Fake` with these options."""
    return EngineSpec(key, label or key, "bench_runtimes:Fake", options=options)
