"""What the kernels need to know about this machine's processor."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@cache
def features() -> frozenset[str]:
    """Instruction set extensions by their Linux names: ``avx2``, ``avx512f``, ``avx512_bf16``, ``asimd``.

    Empty if the system does not say.
    """
    return frozenset(_cpuinfo("flags", "Features").split())


@cache
def model_name() -> str:
    """The processor's name, or the architecture if the system does not give one."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def runs_kernels() -> bool:
    """Whether the Mojo kernels are built for this processor: x86-64 with AVX2 and FMA, or 64-bit Arm."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    return {"avx2", "fma"} <= features()


def has_bf16() -> bool:
    """Whether the processor multiplies pairs of bfloat16 in one instruction (AVX512-BF16)."""
    return "avx512_bf16" in features()


def available_threads() -> int:
    """Threads that can run at once: CPUs this process may use, or fewer by the quota of its container."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(min([affinity, *(max(1, math.ceil(quota)) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """CPU quotas of this process's cgroup and those above it, in CPUs: ``docker run --cpus 1.5`` is 1.5."""
    try:
        lines = (PROC / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = CGROUPS / controllers  # version 2, which names no controllers, is mounted at the top
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            with suppress(OSError, ValueError):  # no such file, or "max" and -1: no quota
                if controllers:
                    quota = int((folder / "cpu.cfs_quota_us").read_text())
                    period = int((folder / "cpu.cfs_period_us").read_text())
                else:
                    quota, period = map(int, (folder / "cpu.max").read_text().split())
                if quota > 0 and period > 0:
                    yield quota / period


def _cpuinfo(*names: str) -> str:
    """The first processor's field with one of these names in /proc/cpuinfo; empty if there is none."""
    try:
        lines = (PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
