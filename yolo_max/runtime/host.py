"""The machine that a measurement was made on, and how busy it was otherwise."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

from yolo_max.runtime import cpu

PACKAGES = ("yolo-max", "max", "numpy", "opencv-python", "torch", "ultralytics", "onnxruntime", "openvino")
TELLING_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "bf16", "sve")
"""Instruction sets that decide the speed of convolutions; the record has all flags."""
QUIET_SHARE = 0.05
"""Share of CPU time used by others above which times should not be trusted."""
CPU_FOLDER = Path("/sys/devices/system/cpu")


def record() -> dict[str, Any]:
    """Everything about this machine that a measurement may depend on; None where the system does not say."""
    memory = _fields(Path("/proc/meminfo"))
    return {
        "cpu": cpu.model_name(),
        "flags": sorted(cpu.features()),
        "logical_cpus": os.cpu_count(),
        "available_cpus": cpu.available_threads(),
        "physical_cores": len(cores()) or None,
        "governor": _governor(),
        "cpu_quota": _read(Path("/sys/fs/cgroup/cpu.max")),
        "hypervisor": "hypervisor" in cpu.features(),
        "memory_gib": _gib(memory.get("MemTotal")),
        "memory_available_gib": _gib(memory.get("MemAvailable")),
        "load_average": list(os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "packages": {name: _version(name) for name in PACKAGES},
        "command": ["yolo-max", *sys.argv[1:]],
    }


def cores() -> list[tuple[int, ...]]:
    """The CPUs this process may use, grouped by physical core; [] if unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    groups: dict[tuple[str | None, str | None], list[int]] = {}
    for each in sorted(os.sched_getaffinity(0)):
        topology = CPU_FOLDER / f"cpu{each}" / "topology"
        package, core = _read(topology / "physical_package_id"), _read(topology / "core_id")
        groups.setdefault((package, core if core is not None else str(each)), []).append(each)
    return [tuple(group) for group in groups.values()]


def pin(threads: int, groups: Iterable[tuple[int, ...]] | None = None) -> list[int]:
    """The CPUs to pin threads to: one per core first, then the cores' second threads.

    Args:
        threads: How many.
        groups: CPUs by physical core; this machine's when absent.

    Returns:
        CPU numbers, ascending; fewer than ``threads`` if there are not enough, [] if unknown.
    """
    cores_of = list(cores() if groups is None else groups)
    layers = max((len(group) for group in cores_of), default=0)
    in_turn = [group[i] for i in range(layers) for group in cores_of if i < len(group)]
    return sorted(in_turn[:threads])


def too_busy(host: Mapping[str, Any]) -> float | None:
    """The share of CPU time that others used, if times and ratios mean little because of it; else None."""
    share: float | None = host.get("others_cpu_share")
    return None if share is None or share <= QUIET_SHARE else share


def warnings(host: Mapping[str, Any]) -> list[str]:
    """What a reader of the measurements should know about the machine."""
    found = []
    if (share := too_busy(host)) is not None:
        found.append(
            f"Other processes took {share:.0%} of this machine's CPU time: neither times nor ratios mean "
            "much, so measure again when it is quiet."
        )
    if (governor := host.get("governor")) not in (None, "performance"):
        found.append(f"The CPU frequency governor is {governor}; with 'performance' times are steadier.")
    return found


def describe(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The record as labels and text."""
    flags = [flag for flag in TELLING_FLAGS if flag in host["flags"]]
    load = ", ".join(f"{each:.2f}" for each in host["load_average"])
    share = host.get("others_cpu_share")
    cpus = f"{host['available_cpus']} of {host['logical_cpus']}"
    return [
        ("processor", f"{host['cpu']} ({host['machine']}{', virtual' if host['hypervisor'] else ''})"),
        ("instructions", ", ".join(flags) or "not told"),
        ("CPUs", f"{cpus}, on {host['physical_cores'] or 'unknown'} cores as the system tells it"),
        ("pinned to", ", ".join(map(str, host["pinned_to"])) or "nothing: the system cannot"),
        ("governor", host["governor"] or "not told"),
        ("memory", f"{host['memory_gib']} GiB" if host["memory_gib"] else "not told"),
        ("load before", load),
        ("others' share", "not told" if share is None else f"{share:.0%} of all CPU time"),
        ("system", f"{host['system']}, Python {host['python']}"),
        ("packages", ", ".join(f"{k} {v}" for k, v in host["packages"].items() if v)),
        ("command", shlex.join(host["command"])),
    ]


@dataclass
class Disturbance:
    """How busy the machine was with other work since a moment.

    ``/proc/stat`` counts all CPU time; that of this process and its children is subtracted.
    """

    started: float
    busy: float
    own: float

    @classmethod
    def start(cls) -> Disturbance:
        """Starts counting."""
        return cls(perf_counter(), _busy_seconds(), _own_seconds())

    def summary(self) -> dict[str, Any]:
        """Additions to the host record.

        Returns:
            ``load_average_after``, and ``others_cpu_share``: the share of all CPU time since the start that
            others used, None if the system does not say. Children must have ended.
        """
        others = (_busy_seconds() - self.busy) - (_own_seconds() - self.own)
        total = (perf_counter() - self.started) * (os.cpu_count() or 1)
        share = round(min(max(others / total, 0.0), 1.0), 3) if self.busy else None
        return {"load_average_after": list(os.getloadavg()), "others_cpu_share": share}


def _busy_seconds() -> float:
    line = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    if not line:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _governor() -> str | None:
    found = {_read(path) for path in CPU_FOLDER.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(filter(None, found))) or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _fields(path: Path) -> dict[str, str]:
    lines = (_read(path) or "").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _gib(kib: str | None) -> float | None:
    return round(int(kib.split()[0]) / 2**20, 1) if kib else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
