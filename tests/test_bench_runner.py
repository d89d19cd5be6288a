"""A whole run of the benchmark on fake engines."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import bench_runtimes
import numpy as np
import pytest
from bench_fakes import INSTALL, LIMIT, SETUP, spec
from fakes import fake_weights, write_image

from yolo_max.bench import cold, plan, runner
from yolo_max.bench.engines import EngineSpec
from yolo_max.bench.plan import Case, Plan
from yolo_max.bench.report.summary import summarise
from yolo_max.bench.report.tables import tables
from yolo_max.bench.results import (
    ABSENT,
    FAILED,
    LEFT_OUT,
    RAN,
    WARM,
    BenchResults,
    ColdStart,
)
from yolo_max.bench.stats import round_medians
from yolo_max.engine.process import EngineProcessError
from yolo_max.support.errors import SourceError
from yolo_max.tasks.contract import Outputs

RUN_SPECS = [
    spec("max", "MAX fused f32"),
    replace(spec("max-bf16", "MAX fused bf16"), precision="bf16", needs=lambda: "this CPU has no bf16"),
    spec("torch", "PyTorch eager", milliseconds=3),
    spec("wrong", "Wrong", offset=1.0),
    spec("broken", "Broken", raises_after=0),
    replace(spec("missing", "Missing"), packages=("no_such_package_anywhere",)),
]


@pytest.fixture(scope="module")
def run(fake_engines: None, tmp_path_factory: pytest.TempPathFactory) -> BenchResults:
    """A run of fake engines against a fake reference; processes, rounds and parity are real."""
    work = tmp_path_factory.mktemp("bench")
    images = [write_image(work / f"{i}.png", seed=i) for i in range(5)]

    def reference(self: runner.Runner, canvases: np.ndarray) -> dict[str, list[Outputs]]:
        fake, rng = bench_runtimes.Fake(SETUP), np.random.default_rng(0)
        heads = [fake.infer(canvas[None])[0] for canvas in canvases]
        exact = [head.astype(np.float64) + rng.normal(0, 1e-6, head.shape) for head in heads]
        return {"f32": [{"head": head} for head in heads], "f64": [{"head": head} for head in exact]}

    def command(self: cold.ColdStarts, image: Path, state: str) -> ColdStart:
        return ColdStart(cold.COMMAND, state, {"total": 1234.0})

    scenarios = (plan.SINGLE_STREAM, plan.OFFLINE, plan.COLD_START)
    small = Plan((64, 64), 1, scenarios, rounds=3, seconds=0.01, quick=True, offline_batches=(1, 2))
    inputs = runner.Inputs(fake_weights(), images, work)
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.Runner, "_reference", reference)
        patch.setattr(cold.ColdStarts, "_command", command)
        patch.setattr(runner, "save_weights", lambda weights, path: None)
        bench = runner.Runner(
            small, RUN_SPECS, inputs, "torch", [spec("late", "Late")], limits=(LIMIT, LIMIT)
        )
        expected = bench.steps
        results = bench.run(steps.append)
    # The reference is not called here; the broken engine takes no part after its start.
    assert len(steps) <= expected
    return results


def test_every_engine_is_listed_with_its_outcome(run: BenchResults) -> None:
    assert {engine.key: (engine.state, engine.reason) for engine in run.engines} == {
        "max": (RAN, ""),
        "max-bf16": (ABSENT, "this CPU has no bf16"),
        "torch": (RAN, ""),
        "wrong": (RAN, ""),
        "broken": (FAILED, "ValueError: no more"),
        "missing": (ABSENT, f"no_such_package_anywhere {INSTALL}"),
        "late": (LEFT_OUT, "a quick run includes it only if it is named"),
    }
    shown = {row[0].rstrip("*"): row[-1] for row in tables(run)[0].rows}
    assert shown["MAX fused bf16"] == "absent: this CPU has no bf16"
    assert shown["Missing"] == f"absent: no_such_package_anywhere {INSTALL}"
    assert shown["Broken"] == "failed: ValueError: no more"
    assert shown["Late"].startswith("left out: ")
    assert "hello from the engine" in run.engine("broken").log


def test_no_parity_no_speed_up(run: BenchResults) -> None:
    assert run.engine("max").comparable
    assert not run.engine("wrong").comparable
    figures = summarise(run)
    assert figures["single_stream"]["max"]["speed_up"]["median"] > 0
    assert figures["single_stream"]["wrong"]["speed_up"] is None
    assert figures["offline"][2]["wrong"]["speed_up"] is None
    assert [each["peer"] for each in figures["headline"]] == ["torch"]
    single = next(table for table in tables(run, figures) if table.name == "single-stream")
    assert {row[0]: row[-1] for row in single.rows}["Wrong"] == "–"
    # Its times are shown all the same.
    assert len(single.rows) == 3


def test_nothing_is_compared_when_the_one_to_compare_with_has_no_parity(run: BenchResults) -> None:
    against = replace(run, against="wrong")
    assert all(each["speed_up"] is None for each in summarise(against)["single_stream"].values())


def test_offline_counts_images_and_not_batches(run: BenchResults) -> None:
    for batch, by_engine in summarise(run)["offline"].items():
        case = run.case(Case(1, batch, 64, 64))
        assert case is not None
        medians = sorted(round_medians(case.samples["max"]))
        assert by_engine["max"]["images_per_second"]["median"] == pytest.approx(1000 * batch / medians[1])


def test_who_cannot_start_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that hangs for minutes would do so at every start."""
    tried: list[tuple[str, str]] = []

    def engine(self: cold.ColdStarts, spec: EngineSpec, state: str) -> ColdStart:
        tried.append((spec.key, state))
        if spec.key == "bad":
            raise EngineProcessError("it was ended")
        return ColdStart(spec.key, state, {"total": 1.0})

    monkeypatch.setattr(cold.ColdStarts, "_engine", engine)
    starts = cold.ColdStarts(Plan((64, 64), 1), SETUP, tmp_path, lambda step: None)
    ended = starts.run([spec("good", "Good"), spec("bad", "Bad")], tmp_path, random.Random(0))
    assert [key for key, _ in tried].count("bad") == 1
    assert len(ended) == len(cold.states(Plan((64, 64), 1)))
    assert starts.notes == ["A cold start of bad with empty caches failed: it was ended."]


def test_cold_starts_have_phases_and_a_peak(run: BenchResults) -> None:
    started = summarise(run)["cold_start"]
    assert started.keys() == {"max", "torch", "wrong", cold.COMMAND}
    for key in ("max", "torch"):
        start = started[key][WARM]
        assert start["total_ms"] == pytest.approx(sum(start["phases"].values()))
        assert start["peak_mib"] > 5


def test_results_survive_the_file(run: BenchResults, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(run.to_json())
    assert BenchResults.read(path) == run


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1}', '{"schema": 99}', None])
def test_a_file_that_is_no_run_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SourceError, match=re.escape(str(path))):
        BenchResults.read(path)
