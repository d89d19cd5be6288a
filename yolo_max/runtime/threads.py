"""MAX's runtime in this process: its number of threads, and a quiet poller."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from max import driver

from yolo_max.runtime import cpu
from yolo_max.runtime.fork import require_same_process
from yolo_max.support.errors import UsageError

_started_with: int | None = None
_started_in = 0
"""The process that MAX runs in."""
_starting = Lock()
_THREADS = Path("/proc/self/task")
"""Has a folder for each thread of this process; is not there in some chroots."""


def start(threads: int | None) -> tuple[driver.Device, int]:
    """Starts MAX on the CPU with the given number of threads; it starts once per process.

    MAX starts one thread for each CPU that the process may run on, so the process is briefly confined to
    ``threads`` of them. (MAX 26.7 aborts when ``InferenceSession`` is given a number.)

    Args:
        threads: How many; None for all available CPUs, or for the number MAX already runs with.

    Returns:
        The CPU, and the number of threads.

    Raises:
        UsageError: There are fewer CPUs, or MAX already runs with another number of threads.
        EngineError: MAX was started before this process was forked.
    """
    global _started_with, _started_in
    available = cpu.available_threads()
    if threads is not None and not 1 <= threads <= available:
        cpus, remedy = (f"{available} CPUs", f"use 1 to {available}") if available > 1 else ("1 CPU", "use 1")
        raise UsageError(f"threads is {threads}, but this process may run on {cpus}; {remedy}.")
    with _starting:
        if _started_with is not None:
            require_same_process(_started_in)
            if threads not in (None, _started_with):
                raise UsageError(
                    f"threads is {threads}, but MAX already runs on {_started_with} in this process, and "
                    "cannot be restarted; use another process."
                )
            return driver.CPU(), _started_with
        with suppress(ImportError):
            # Arrow, which Ray and pandas use, ends the process with a SIGSEGV if it is loaded after MAX has
            # run: both bring symbols of OpenTelemetry, and the first that are loaded count.
            import pyarrow  # noqa: F401
        wanted = threads or available
        if wanted < available and not hasattr(os, "sched_setaffinity"):
            raise UsageError("the number of threads can be chosen on Linux only; leave --threads out.")
        if hasattr(os, "sched_setaffinity") and wanted < len(allowed := os.sched_getaffinity(0)):
            before = _running()
            os.sched_setaffinity(0, sorted(allowed)[:wanted])
            try:
                device = driver.CPU()
            finally:
                os.sched_setaffinity(0, allowed)
            # MAX's threads have inherited the confinement. Those of other processes, such as Ray's workers,
            # would run on the same few CPUs.
            for thread in _running() - before:
                with suppress(OSError):  # it may have ended
                    os.sched_setaffinity(thread, allowed)
        else:
            device = driver.CPU()
        _started_with, _started_in = wanted, os.getpid()
        return device, wanted


def _running() -> set[int]:
    """The threads of this process, if they can be listed."""
    with suppress(OSError):
        return {int(each.name) for each in _THREADS.iterdir()}
    return set()


@contextmanager
def quiet_poller() -> Iterator[None]:
    """Gives MAX's polling thread, which starts with the first execution, a coarse timer.

    It wakes every 100 us for as long as the process lives, which costs milliseconds per image. A thread
    inherits its timer slack from the one that starts it, so the caller's is raised meanwhile (Linux only).
    """
    if platform.system() != "Linux":
        yield
        return
    libc = ctypes.CDLL(None)
    set_slack, get_slack = 29, 30  # PR_SET_TIMERSLACK and PR_GET_TIMERSLACK of linux/prctl.h
    before = libc.prctl(get_slack, 0, 0, 0, 0)
    libc.prctl(set_slack, 50_000_000, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(set_slack, before if before > 0 else 50_000, 0, 0, 0)
