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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench_runtimes
import numpy as np
import pytest
from fakes import fake_weights, write_image

from yolo_max import cli
from yolo_max.bench import cold, plan, runner
from yolo_max.bench.engine_pool import EnginePool
from yolo_max.bench.engines import ENGINES, EngineSpec, NotMeasuredError, Setup, choose, make_runtime
from yolo_max.bench.plan import Case, Plan
from yolo_max.bench.report.summary import summarise
from yolo_max.bench.report.tables import tables
from yolo_max.bench.request import reference_point
from yolo_max.bench.results import (
    ABSENT,
    FAILED,
    LEFT_OUT,
    RAN,
    WARM,
    BenchResults,
    ColdStart,
    Parity,
)
from yolo_max.bench.samples import draw_samples
from yolo_max.bench.stats import Latency, Spread, round_medians, speed_up
from yolo_max.bench.verify import verify
from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcessError
from yolo_max.runtime import host
from yolo_max.support.errors import ExitCode, SourceError, UsageError

LIMIT = 30.0
SETUP = Setup("weights", "onnx", 1)


def spec(key: str, label: str | None = None, **options: Any) -> EngineSpec:
    return EngineSpec(key, label or key, "bench_runtimes:Fake", options=options)


# --- statistics -----------------------------------------------------------------------------------


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
        (None, "performance", []),  # unknown causes no warning
        (0.5, "performance", ["50%"]),
        (0.01, "powersave", ["powersave"]),
    ],
)
def test_a_disturbed_machine_is_reported(share: float | None, governor: str | None, words: list[str]) -> None:
    found = host.warnings({"others_cpu_share": share, "governor": governor})
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


@pytest.fixture(scope="module", autouse=True)
def fakes_in_children() -> Iterator[None]:
    """An engine's process finds `bench_runtimes`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(bench_runtimes.__file__).parent), prepend=os.pathsep)
        yield


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
        assert worker.call("prepare", limit=LIMIT, batch=2, height=64, width=64, warm=0.5)["inferences"] >= 2
        samples = worker.call("time", limit=LIMIT, seconds=0.05, min_inferences=3, max_inferences=5)
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
        with pytest.raises(EngineProcessError, match=words) as failure:
            start(worker, **habits)
        assert "hello from the engine" in failure.value.log
        assert "and a word on stderr" in failure.value.log


def test_an_engine_that_is_killed_says_by_what() -> None:
    with WorkerProcess([], 1) as worker:
        start(worker)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(EngineProcessError, match="SIGKILL"):
            worker.call("memory", limit=LIMIT)


def test_an_engine_that_hangs_is_ended() -> None:
    with WorkerProcess([], 1) as worker:
        start(worker, hangs_after=1)
        with pytest.raises(EngineProcessError, match=r"no answer within 0\.3 s"):
            worker.call("time", limit=0.3, seconds=0.1, min_inferences=1, max_inferences=1)
        with pytest.raises(ProcessLookupError):
            os.killpg(worker.pid, 0)


# --- all of them ----------------------------------------------------------------------------------

INSTALL = "not installed (pip install no_such_package_anywhere)"
QUICK = Plan((64, 64), 1, (plan.SINGLE_STREAM, plan.OFFLINE), rounds=4, seconds=0.01, quick=True)


def pool_of(
    specs: list[EngineSpec], failures: dict[str, str], limits: tuple[float, float] = (30, 30)
) -> EnginePool:
    def failed(key: str, failure: EngineProcessError) -> None:
        failures[key] = str(failure)

    return EnginePool(specs, SETUP, (64, 64), failed, lambda step: None, limits)


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
def run(tmp_path_factory: pytest.TempPathFactory) -> BenchResults:
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


# --- the engines ----------------------------------------------------------------------------------


def test_engines_are_chosen_by_key_in_the_order_of_the_registry() -> None:
    assert [each.key for each in choose(["openvino", "max"])] == ["max", "openvino"]
    assert choose(None) == list(ENGINES)
    with pytest.raises(UsageError, match=r"no engine 'tensorflow'; use some of max, "):
        choose(["max", "tensorflow"])


def test_torch_compile_is_absent_where_nothing_compiles_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (engine,) = choose(["torch-compile"])
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert engine.absent() == "no C++ compiler on this machine (no-such-compiler)"
    monkeypatch.setenv("CXX", sys.executable)
    assert engine.absent() is None


def test_ratios_refer_to_pytorch_or_else_to_the_first() -> None:
    assert reference_point(["max", "torch", "openvino"], None) == "torch"
    assert reference_point(["max", "openvino"], None) == "max"
    assert reference_point(["max", "openvino"], "openvino") == "openvino"


@pytest.mark.parametrize("key", ["torch", "onnxruntime", "openvino"])
def test_a_peer_runs_the_same_network(key: str, shared: Path, tmp_path: Path) -> None:
    """Through its own export and in two sizes, it gives PyTorch's raw head."""
    (peer,) = choose([key])
    if reason := peer.absent():
        pytest.skip(reason)
    from yolo_max.bench.raw_head import export_onnx
    from yolo_max.engine.torch_engine import TorchEngine

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
        np.testing.assert_allclose(
            runtime.head(runtime.infer(batch)), engine(batch)["head"], rtol=0, atol=1e-3
        )


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


def test_the_stock_graph_skips_other_sizes() -> None:
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
        (["--engines", ","], "engines is empty"),
        (["--against", "nonsense"], "cannot refer to 'nonsense'"),
        (
            ["--engines", "max,openvino", "--against", "torch"],
            "cannot refer to 'torch'; use one of max, openv",
        ),
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


def test_a_folder_that_cannot_be_written_is_known_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["bench", "--out", str(tmp_path / "file" / "out")]) == ExitCode.OUTPUT


def test_drawn_images_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = draw_samples(tmp_path / "a"), draw_samples(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({path.read_bytes() for path in first}) == len(first)
