"""The benchmark: its statistics against hand-made oracles, its processes with engines that misbehave."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench_runtimes
import numpy as np
import pytest
from fakes import fake_weights, write_image
from rich.console import Console

from yolo_max import cli
from yolo_max.bench import cold, host, plan, runner
from yolo_max.bench.engines import ENGINES, EngineSpec, NotMeasuredError, Setup, choose, make_runtime
from yolo_max.bench.fleet import Fleet
from yolo_max.bench.plan import Case, Plan
from yolo_max.bench.process import WorkerError, WorkerProcess
from yolo_max.bench.report import page, png, svg
from yolo_max.bench.report.charts import charts
from yolo_max.bench.report.summary import summarise
from yolo_max.bench.report.tables import headline, tables
from yolo_max.bench.report.text import markdown, show
from yolo_max.bench.results import (
    ABSENT,
    FAILED,
    LEFT_OUT,
    RAN,
    WARM,
    CaseResult,
    ColdStart,
    Parity,
    Participant,
    Results,
    StreamPoint,
)
from yolo_max.bench.samples import draw_samples
from yolo_max.bench.stats import Latency, Spread, round_medians, speed_up
from yolo_max.bench.verify import verify
from yolo_max.errors import ExitCode, SourceError, UsageError

LIMIT = 30.0
SETUP = Setup("weights", "onnx", 1)


def spec(key: str, label: str | None = None, **options: Any) -> EngineSpec:
    return EngineSpec(key, label or key, "bench_runtimes:Fake", options=options)


# --- statistics -----------------------------------------------------------------------------------


def test_latency_pools_the_rounds() -> None:
    # 1, 2, 3, 4, 5: the 90th percentile lies at index 3.6, the 99th at 3.96.
    latency = Latency.of([[3, 1, 2], [5, 4]])
    assert (latency.p50, latency.least, latency.count) == (3, 1, 5)
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


# --- the plan -------------------------------------------------------------------------------------


def test_cases_that_scenarios_share_are_measured_once() -> None:
    cases = Plan((640, 640), 2).cases()
    assert len(cases) == len(set(cases))
    assert cases[0] == Case(2, 1, 640, 640)
    assert {case.batch for case in cases} == {1, 2, 4, 8, 16}
    assert {case.height for case in cases if case.batch == 1} == {320, 480, 640, 960, 1280}
    assert [case.threads for case in cases][-1] == 1


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_grow_by_doubling_up_to_all(threads: int, expected: list[int]) -> None:
    assert [case.threads for case in Plan((64, 64), threads).thread_cases()] == expected


def test_only_what_is_asked_for_is_measured() -> None:
    assert Plan((64, 96), 2, (plan.SINGLE_STREAM,)).cases() == [Case(2, 1, 64, 96)]
    assert [c.batch for c in Plan((64, 96), 2, (plan.OFFLINE,)).cases()] == [1, 4, 8]
    assert Plan((64, 96), 2, (plan.COLD_START, plan.END_TO_END)).cases() == []


# --- the host -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        (1, [0]),
        (2, [0, 1]),  # two cores, not two threads of one
        (3, [0, 1, 4]),
        (9, [0, 1, 4, 5]),  # no more than there are
    ],
)
def test_threads_are_pinned_to_cores_of_their_own_first(threads: int, expected: list[int]) -> None:
    assert host.pin(threads, [(0, 4), (1, 5)]) == expected


def test_the_host_record_is_complete_and_plain() -> None:
    record = json.loads(json.dumps(host.record()))
    for key in ("cpu", "flags", "governor", "load_average", "packages", "python", "command", "cpu_quota"):
        assert key in record
    assert record["packages"]["numpy"] == np.__version__
    assert record["available_cpus"] <= record["logical_cpus"]


@pytest.mark.parametrize(
    ("share", "governor", "words"),
    [
        (0.0, None, []),
        (None, "performance", []),  # not told is no reason to worry anybody
        (0.5, "performance", ["50%"]),
        (0.01, "powersave", ["powersave"]),
    ],
)
def test_a_disturbed_machine_is_reported(share: float | None, governor: str | None, words: list[str]) -> None:
    found = host.warnings({"others_cpu_share": share, "governor": governor})
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


# --- one process ----------------------------------------------------------------------------------


def start(worker: WorkerProcess, **options: Any) -> dict[str, float]:
    factory, arguments = spec("fake", **options).make(SETUP)
    phases: dict[str, float] = worker.call(
        "setup", limit=LIMIT, factory=factory, arguments=arguments, height=64, width=64
    )
    return phases


def states(worker: WorkerProcess) -> list[str]:
    """The scheduler's letter for each process in the worker's group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == worker.pid and fields[0] != "Z":  # dead, and nobody's child to be waited for
            found.append(fields[0])
    return found


def settles_in(worker: WorkerProcess, letters: list[str]) -> bool:
    """Whether the group reaches these states; a signal takes a moment to arrive."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if states(worker) == letters:
            return True
        time.sleep(0.01)
    return False


def test_an_engine_is_set_up_timed_and_measured() -> None:
    with WorkerProcess([], 1) as worker:
        phases = start(worker, milliseconds=4)
        assert list(phases) == ["process", "import", "weights", "build", "first"]
        assert phases["first"] >= 4
        assert worker.call("prepare", limit=LIMIT, batch=2, height=64, width=64, warm=0.5)["inferences"] >= 6
        samples = worker.call("time", limit=LIMIT, seconds=0.05, least=3, most=5)
        assert 3 <= len(samples) <= 5
        assert min(samples) >= 4
        memory = worker.call("memory", limit=LIMIT)
        assert 5 < memory["now"] <= memory["peak"] < 2000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_engine_without_a_request_is_stopped_and_so_are_its_children() -> None:
    with WorkerProcess([], 1) as worker:
        start(worker, starts_a_child=True)
        assert settles_in(worker, ["T", "T"])
        worker.call("memory", limit=LIMIT)  # answers again when it is asked
        assert settles_in(worker, ["T", "T"])
    assert settles_in(worker, [])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_engine_runs_on_the_cpus_it_is_given() -> None:
    cpu = sorted(os.sched_getaffinity(0))[-1]
    with WorkerProcess([cpu], 1) as worker:
        start(worker)
        assert os.sched_getaffinity(worker.pid) == {cpu}


@pytest.mark.parametrize(
    ("habits", "words"),
    [
        ({"import_error": "no such library"}, "ImportError: no such library"),
        ({"raises_after": 0}, "ValueError: no more"),
        ({"dies_after": 0}, "ended with exit code 3"),
    ],
)
def test_an_engine_that_fails_says_why_and_leaves_its_log(habits: dict[str, Any], words: str) -> None:
    with WorkerProcess([], 1) as worker:
        with pytest.raises(WorkerError, match=words) as failure:
            start(worker, **habits)
        assert "hello from the engine" in failure.value.log
        assert "and a word on stderr" in failure.value.log


def test_an_engine_that_is_killed_says_by_what() -> None:
    with WorkerProcess([], 1) as worker:
        start(worker)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="SIGKILL"):
            worker.call("memory", limit=LIMIT)


def test_an_engine_that_hangs_is_ended() -> None:
    with WorkerProcess([], 1) as worker:
        start(worker, hangs_after=1)
        with pytest.raises(WorkerError, match=r"no answer within 0\.3 s"):
            worker.call("time", limit=0.3, seconds=0.1, least=1, most=1)
        with pytest.raises(ProcessLookupError):
            os.killpg(worker.pid, 0)


# --- all of them ----------------------------------------------------------------------------------

QUICK = Plan((64, 64), 1, (plan.SINGLE_STREAM, plan.OFFLINE), rounds=4, seconds=0.01, quick=True)


def fleet(specs: list[EngineSpec], failures: dict[str, str], limits: tuple[float, float] = (30, 30)) -> Fleet:
    def failed(key: str, failure: WorkerError) -> None:
        failures[key] = str(failure)

    return Fleet(specs, SETUP, (64, 64), failed, lambda step: None, limits)


def test_engines_are_timed_in_rounds_of_random_order() -> None:
    specs = [spec("quick", milliseconds=1), spec("slow", milliseconds=6), spec("middle", milliseconds=3)]
    with fleet(specs, {}) as engines:
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
    with fleet(specs, failures, limits=(30, 2)) as engines:
        assert engines.keys == ["good", "dies", "hangs", "small"]
        first = engines.measure(QUICK.base, QUICK, random.Random(0))
        second = engines.measure(replace(QUICK.base, batch=4), QUICK, random.Random(0))
    assert failures["no import"] == "ImportError: no such library"
    assert failures["dies"] == "its process ended with exit code 3"
    assert failures["hangs"] == "no answer within 2 s"
    # Who failed half-way has no figure, not one from fewer rounds.
    assert first.samples.keys() == {"good", "small"}
    assert second.samples.keys() == {"good"}
    assert second.sat_out == {"small": "it takes small batches only"}


# --- parity ---------------------------------------------------------------------------------------


def judge(heads: np.ndarray, reference: np.ndarray, precision: str = "f32") -> Parity:
    exact = reference.astype(np.float64) + np.random.default_rng(1).normal(0, 1e-5, reference.shape)
    return verify(precision, heads.astype(np.float32), reference, exact, (64, 64), (8, 16, 32), 16)


@pytest.mark.parametrize(
    ("noise", "precision", "holds"),
    [
        (0.0, "f32", True),  # PyTorch itself
        (1e-5, "f32", True),  # another order of additions
        (1e-2, "f32", False),  # a mistake
        (np.nan, "f32", False),
        (1e-2, "bf16", True),  # what eight bits of mantissa cost
        (0.3, "bf16", False),  # more than that
        (np.nan, "bf16", False),
    ],
)
def test_parity_is_held_against_the_precision_s_own_bound(noise: float, precision: str, holds: bool) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (2, 84, 67)).astype(np.float32)
    parity = judge(reference + noise * rng.normal(size=reference.shape), reference, precision)
    assert parity.holds is holds
    assert parity.text


def test_a_head_of_another_shape_has_no_parity() -> None:
    reference = np.zeros((1, 84, 67), np.float32)
    assert not judge(reference[:, :80], reference).holds


# --- a whole run ----------------------------------------------------------------------------------

RUN_SPECS = [
    spec("max", "MAX fused f32"),
    replace(spec("max-bf16", "MAX fused bf16"), precision="bf16", needs=lambda: "this CPU has no bf16"),
    spec("torch", "PyTorch eager", milliseconds=3),
    spec("wrong", "Wrong", offset=1.0),
    spec("broken", "Broken", raises_after=0),
    replace(spec("missing", "Missing"), packages=("no_such_package_anywhere",)),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run of fake engines against a fake reference; processes, rounds and parity are real."""
    work = tmp_path_factory.mktemp("bench")
    images = [write_image(work / f"{i}.png", seed=i) for i in range(5)]

    def reference(self: runner.Runner, canvases: np.ndarray) -> dict[str, np.ndarray]:
        fake = bench_runtimes.Fake(SETUP)
        heads = np.concatenate([fake.infer(canvas[None]) for canvas in canvases])
        exact = heads.astype(np.float64) + np.random.default_rng(0).normal(0, 1e-6, heads.shape)
        return {"f32": heads, "f64": exact}

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


def test_everybody_is_listed_with_what_became_of_them(run: Results) -> None:
    assert {engine.key: (engine.state, engine.reason) for engine in run.engines} == {
        "max": (RAN, ""),
        "max-bf16": (ABSENT, "this CPU has no bf16"),
        "torch": (RAN, ""),
        "wrong": (RAN, ""),
        "broken": (FAILED, "ValueError: no more"),
        "missing": (ABSENT, "no_such_package_anywhere not installed"),
        "late": (LEFT_OUT, "a quick run takes it only when it is named"),
    }
    shown = {row[0].rstrip("*"): row[-1] for row in tables(run)[0].rows}
    assert shown["MAX fused bf16"] == "absent: this CPU has no bf16"
    assert shown["Missing"] == "absent: no_such_package_anywhere not installed"
    assert shown["Broken"] == "failed: ValueError: no more"
    assert shown["Late"].startswith("left out: ")
    assert "hello from the engine" in run.engine("broken").log


def test_no_parity_no_speed_up(run: Results) -> None:
    assert run.engine("max").comparable
    assert not run.engine("wrong").comparable
    figures = summarise(run)
    assert figures["single_stream"]["max"]["speed_up"]["median"] > 1
    assert figures["single_stream"]["wrong"]["speed_up"] is None
    assert figures["offline"][2]["wrong"]["speed_up"] is None
    assert [each["peer"] for each in figures["headline"]] == ["torch"]
    single = next(table for table in tables(run, figures) if table.name == "single-stream")
    assert {row[0]: row[-1] for row in single.rows}["Wrong"] == "–"
    # Its times are shown all the same.
    assert len(single.rows) == 3


def test_nothing_is_compared_when_the_one_to_compare_with_has_no_parity(run: Results) -> None:
    against = replace(run, against="wrong")
    assert all(each["speed_up"] is None for each in summarise(against)["single_stream"].values())


def test_offline_counts_images_and_not_batches(run: Results) -> None:
    for batch, by_engine in summarise(run)["offline"].items():
        case = run.case(Case(1, batch, 64, 64))
        assert case is not None
        medians = sorted(round_medians(case.samples["max"]))
        assert by_engine["max"]["images_per_second"]["median"] == pytest.approx(1000 * batch / medians[1])


def test_cold_starts_have_phases_and_a_peak(run: Results) -> None:
    started = summarise(run)["cold_start"]
    assert started.keys() == {"max", "torch", "wrong", cold.COMMAND}
    for key in ("max", "torch"):
        start = started[key][WARM]
        assert start["total_ms"] == pytest.approx(sum(start["phases"].values()))
        assert start["peak_mib"] > 5


def test_results_survive_the_file(run: Results, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(run.to_json())
    assert Results.read(path) == run


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1}', '{"schema": 99}', None])
def test_a_file_that_is_no_run_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SourceError, match=re.escape(str(path))):
        Results.read(path)


# --- what people look at --------------------------------------------------------------------------


@pytest.fixture
def full() -> Results:
    """Results of every scenario for every engine of the registry, made up."""
    rng = np.random.default_rng(0)
    whole = Plan((640, 640), 2)
    speed = {each.key: 20 + 9 * i for i, each in enumerate(ENGINES)}

    def rounds(case: Case, key: str) -> list[list[float]]:
        ms = speed[key] * case.batch * case.height * case.width / 640**2 * 2 / case.threads
        return [list(ms * rng.uniform(1, 1.2, 9)) for _ in range(5)]

    parity = Parity(True, 1.2e-4, 26.0, 1.3e-3, "parity holds")
    keys = list(speed)
    return Results(
        plan=whole,
        against="torch",
        version="0",
        started="2026-01-01T00:00:00+00:00",
        host={**host.record(), "pinned_to": [0, 1], "others_cpu_share": 0.4, "command": ["yolo-max", "<b>"]},
        weights={"file": "yolov8n.pt", "sha256": "0" * 64, "classes": 80, "parameters": 1},
        images={"count": 8, "parity": ["a.jpg"]},
        engines=[
            Participant(e.key, e.label, e.precision, versions={"package": "1.2.3"}, parity=parity)
            for e in ENGINES
        ],
        cases=[
            CaseResult(case, [keys] * 5, {key: rounds(case, key) for key in keys}) for case in whole.cases()
        ],
        stages={key: [[dict.fromkeys(plan.STAGES, 3.0) | {"infer": speed[key]}]] for key in keys},
        cold=[
            ColdStart(key, cache, dict.fromkeys(plan.PHASES, ms), 300.0)
            for key in keys
            for cache, ms in (("empty", 9000.0), ("warm", 400.0))
        ]
        + [ColdStart(cold.COMMAND, "warm", {"total": 1900.0})],
        stream=[StreamPoint(count, 30.0, 410.0) for count in plan.GROWTH_IMAGES],
        notes=["A note with <i>markup</i> in it."],
    )


def render(results: Results) -> str:
    figures = summarise(results)
    return page.render(results, figures, tables(results, figures), charts(results, figures))


def test_the_page_needs_nothing_but_itself(full: Results) -> None:
    html = render(full)
    assert "<script" not in html
    for reference in re.findall(r"""(?:src|href|url\(|@import)\s*[=(]?\s*["']?([^"'\s>)]*)""", html):
        pytest.fail(f"the page refers to {reference}")
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert html.count("<svg") == len(charts(full, summarise(full))) == 11


def test_the_page_shows_text_as_text(full: Results) -> None:
    html = render(full)
    assert "<i>markup</i>" not in html
    assert "A note with &lt;i&gt;markup" in html
    assert "&lt;b&gt;" in html


def test_another_precision_is_marked_wherever_it_appears(full: Results) -> None:
    for table in tables(full):
        for row in table.rows:
            assert ("bf16" in row[0]) == row[0].endswith("*")
    assert "OpenVINO bf16*" in render(full)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(full: Results, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    figures = summarise(full)
    console = Console(width=width)
    show(tables(full, figures), headline(full, figures), console)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]  # nothing was cut off


def test_the_peer_that_is_ahead_is_named(full: Results) -> None:
    for case in full.cases:
        case.samples["openvino"] = [[sample / 2 for sample in each] for each in case.samples["max"]]
    sentences = headline(full, summarise(full))
    assert [text for text in sentences if text.endswith("OpenVINO f32 is ahead.")] == [
        "MAX fused f32 is 0.50 times as fast as OpenVINO f32 [0.50–0.50]: OpenVINO f32 is ahead."
    ]


def test_markdown_has_a_cell_for_each_header(full: Results) -> None:
    for table in tables(full):
        rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(table.headers) + 1}
        assert len(rows) == len(table.rows) + 2


def test_a_run_without_anything_but_engines_can_be_shown(full: Results) -> None:
    bare = replace(full, cases=[], stages={}, cold=[], stream=[])
    assert [table.name for table in tables(bare)] == ["engines"]
    assert charts(bare, summarise(bare)) == []
    assert "<svg" not in render(bare)


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (10, [0, 2, 4, 6, 8, 10]),
        (0.7, [0, 0.2, 0.4, 0.6, 0.8]),
        (103, [0, 25, 50, 75, 100, 125]),
        (0, [0, 1]),
    ],
)
def test_ticks_are_round_and_reach_beyond_the_data(high: float, expected: list[float]) -> None:
    assert svg.ticks(high) == pytest.approx(expected)


def test_plots_are_drawn_where_matplotlib_is(full: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn = charts(full, summarise(full))[:3]
    for path in png.write(drawn, tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


# --- who takes part -------------------------------------------------------------------------------


def test_engines_are_chosen_by_key_in_the_order_of_the_registry() -> None:
    assert [each.key for each in choose(["openvino", "max"])] == ["max", "openvino"]
    assert choose(None) == list(ENGINES)
    with pytest.raises(UsageError, match=r"no engine 'tensorflow'; take some of max, "):
        choose(["max", "tensorflow"])


@pytest.mark.parametrize("key", ["torch", "onnxruntime", "openvino"])
def test_a_peer_runs_the_same_network(key: str, shared: Path, tmp_path: Path) -> None:
    """Through its own export and in two sizes, it gives PyTorch's raw head."""
    (peer,) = choose([key])
    if reason := peer.absent():
        pytest.skip(reason)
    from yolo_max.bench.raw_head import export_onnx
    from yolo_max.reference import TorchEngine

    weights = shared / "weights" / "yolov8n.pt"
    engine = TorchEngine(weights)
    onnx = tmp_path / "network.onnx"
    if "onnx" in peer.packages:
        export_onnx(engine.module, onnx)
    runtime = make_runtime(*peer.make(Setup(str(weights), str(onnx), 1)))
    runtime.imports()
    runtime.load()
    for shape in ((1, 64, 64, 3), (3, 96, 64, 3)):
        batch = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        runtime.prepare(*shape[:3])
        np.testing.assert_allclose(runtime.head(runtime.infer(batch)), engine(batch), rtol=0, atol=1e-3)


def test_openvino_is_imported_without_a_look_at_the_network() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    code = """
import socket, threading
socket.getaddrinfo = lambda *where, **options: print("looked up", where)
from yolo_max.bench.runtimes import import_openvino
import_openvino().Core()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "looked up" not in done.stdout


def test_the_stock_graph_sits_other_sizes_out() -> None:
    from yolo_max.bench.runtimes import MaxRuntime

    runtime = MaxRuntime(SETUP, kernels="stock")
    runtime.size = (640, 640)
    runtime.prepare(8, 640, 640)  # a batch is run image by image
    with pytest.raises(NotMeasuredError, match="static size"):
        runtime.prepare(1, 320, 320)


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engines", "max,nonsense"], "no engine 'nonsense'"),
        (["--against", "nonsense"], "no engine 'nonsense'"),
        (["--scenarios", "server"], "no scenario 'server'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--seconds", "0"], "seconds is 0"),
        (["--seconds", "nan"], "seconds is nan"),
        (["--threads", "0"], "threads is 0"),
        (["--threads", "100000"], "threads is 100000"),
        (["--imgsz", "wide"], "imgsz is 'wide'"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("yolo_max.bench.request.load_weights", lambda spec: fake_weights())
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *arguments]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_run_can_be_shown_again(
    full: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(png, "available", lambda: False)
    (tmp_path / "old.json").write_text(full.to_json())
    out = tmp_path / "out"
    command = [
        "bench",
        "--from",
        str(tmp_path / "old.json"),
        "--out",
        str(out),
        "--against",
        "openvino",
        "--json",
    ]
    assert cli.run(command) == ExitCode.OK
    figures = json.loads(capsys.readouterr().out)
    assert figures["against"] == "openvino"
    assert figures["single_stream"]["openvino"]["speed_up"]["median"] == 1
    assert (out / "bench.html").read_text() == render(replace(full, against="openvino"))
    assert cli.run(["bench", "--from", str(tmp_path / "none.json"), "--out", str(out)]) == ExitCode.SOURCE


def test_a_folder_that_cannot_be_written_is_known_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["bench", "--out", str(tmp_path / "file" / "out")]) == ExitCode.OUTPUT


def test_drawn_images_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = draw_samples(tmp_path / "a"), draw_samples(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({path.read_bytes() for path in first}) == len(first)
