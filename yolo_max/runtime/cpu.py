"""What the kernels need to know about this machine's processor."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


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
    """CPUs this process may run on; in a container or under ``taskset``, fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo(*names: str) -> str:
    """The first processor's field with one of these names in /proc/cpuinfo; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
