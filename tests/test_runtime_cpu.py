"""How many threads can run at once: by the CPUs of this process, and by the quota of its container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from yolo_max.runtime import cpu

V2 = "0::/a/b\n"
V1 = "5:memory:/m\n4:cpu,cpuacct:/docker/1\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        (V2, {}, 8),  # no quota at all
        (V2, {"a/b/cpu.max": "max 100000"}, 8),
        (V2, {"a/b/cpu.max": "200000 100000"}, 2),
        (V2, {"a/b/cpu.max": "150000 100000"}, 2),  # one thread would leave half a CPU unused
        (V2, {"a/b/cpu.max": "50000 100000"}, 1),
        (V2, {"a/b/cpu.max": "1000 100000"}, 1),  # never none
        (V2, {"a/b/cpu.max": "1600000 100000"}, 8),  # more than there are CPUs
        (
            V2,
            {"a/b/cpu.max": "600000 100000", "a/cpu.max": "300000 100000"},
            3,
        ),  # the group above is stricter
        ("0::/\n", {"cpu.max": "400000 100000"}, 4),  # a namespace of its own, as in most containers
        ("0::/../x\n", {"cpu.max": "400000 100000"}, 4),
        (V2, {"a/b/cpu.max": "rubbish"}, 8),
        (V1, {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "-1"}, 8),
        (
            V1,
            {
                "cpu,cpuacct/docker/1/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (  # a container whose own group is mounted at the top
            V1,
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
            2,
        ),
        (None, {}, 8),  # no cgroups
    ],
)
def test_quotas_limit_threads(
    cgroup: str | None,
    files: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    if cgroup is not None:
        (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, content in files.items():
        path = tmp_path / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    monkeypatch.setattr(cpu, "PROC", tmp_path / "proc")
    monkeypatch.setattr(cpu, "CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert cpu.available_threads() == expected


@pytest.mark.skipif(cpu.available_threads() < 2, reason="needs two CPUs to tell one thread from two")
def test_max_has_the_threads_of_the_quota() -> None:
    script = """
import os
from yolo_max.runtime import cpu, threads
before = os.sched_getaffinity(0)
cpu._quotas = lambda: [0.5]
print(threads.start(None)[1], len(os.listdir("/proc/self/task")), os.sched_getaffinity(0) == before)
"""
    run = [sys.executable, "-c", script]
    limited = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    unlimited = [sys.executable, "-c", script.replace("[0.5]", "[]")]
    free = subprocess.run(unlimited, capture_output=True, text=True, check=True).stdout.split()
    assert limited[0] == "1"
    assert int(limited[1]) < int(free[1])
    assert limited[2] == "True"


@pytest.mark.skipif(cpu.available_threads() < 2, reason="with one CPU all threads run on it")
def test_fewer_threads_than_cpus_run_on_any_of_them() -> None:
    """MAX makes them while the process is confined; there they would meet those of other processes."""
    script = (
        "import os; from yolo_max.runtime import threads; threads.start(1)\n"
        "print(*{str(os.sched_getaffinity(int(each))) for each in os.listdir('/proc/self/task')}, sep='\\n')"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == [str(os.sched_getaffinity(0))]


@pytest.mark.skipif(cpu.available_threads() < 2, reason="one CPU cannot be left out")
def test_fewer_threads_than_cpus_need_no_proc() -> None:
    script = (
        "from pathlib import Path; from yolo_max.runtime import threads\n"
        "threads._THREADS = Path('/nowhere'); print(threads.start(1)[1])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found == "1\n"
