"""One engine in a process of its own, however it misbehaves."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import LIMIT, SETUP, spec

from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcessError

pytestmark = pytest.mark.usefixtures("fake_engines")


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
