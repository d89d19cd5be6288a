"""A Ray cluster: one of this machine's own, for one run, or one that is there."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from yolo_max.runtime.cpu import available_threads
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.ray_options import LOCAL
from yolo_max.support.text import counted, first_line, shorten

AUTO = "auto"
MAX_THREADS = 8
"""Of a worker, unless more are asked for: up to so many, images run side by side in one process."""
STORE_BYTES = 512 * 2**20
"""The object store of a cluster of this machine's own."""
_PORT = re.compile(r"(.+):(\d{1,5})")
_SECONDS = 5.0
_STARTS = 3
"""Ray gives its own processes 15 seconds to start, which is too little on a busy machine."""


_THERE = "the Ray cluster at {} cannot be used ({}); if it has a token, set RAY_AUTH_MODE=token here."
_FAILED = {
    LOCAL: "Ray did not start on this machine; try again when it is less busy.",
    AUTO: "this machine belongs to no Ray cluster; start one with `ray start`, or name HOST:PORT.",
}


class Workers(NamedTuple):
    """How a cluster is used.

    Attributes:
        number: How many there are.
        threads: CPUs of each.
    """

    number: int
    threads: int


def import_ray() -> Any:
    """The package ray, which reports nothing to anybody.

    Raises:
        EngineError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What goes wrong in a worker is raised in this process; Ray's own log is a file. That a worker died or a
    # task failed it prints on the standard output, too, but for lines that match this.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError("Ray is not installed; pip install 'yolo-max[ray]'.") from error
    return ray


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Connects this process to a cluster while the ``with`` block runs.

    A cluster of this machine's own listens on the loopback interface alone, has no dashboard, and ends with
    the block, as do its logs.

    Args:
        address: "local", "auto" for the one that this machine belongs to, or the HOST:PORT of its head.

    Yields:
        The package ray.

    Raises:
        EngineError: Ray is not installed, or there is no such cluster.
        UsageError: It is not an address.
    """
    require_address(address)
    ray = import_ray()
    with _loopback(ray, address == LOCAL):
        session = _connect(ray, address)
        _be_quiet(ray)
        try:
            yield ray
        finally:
            ray.shutdown()
            if address == LOCAL:
                _remove(session)


def _remove(session: Path) -> None:
    """Removes the folder of a cluster that has ended, and Ray's link to the latest if it leads there."""
    link = session.with_name("session_latest")
    with suppress(OSError):
        if link.readlink() == session:
            link.unlink()  # one that leads nowhere Ray would keep
    shutil.rmtree(session, ignore_errors=True)


@contextmanager
def _loopback(ray: Any, alone: bool) -> Iterator[None]:
    """Has Ray take loopback for this machine's address, as it does where firewalls ask about each port."""
    name, constants = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", ray._private.ray_constants
    before, read = os.environ.get(name), constants.ENABLE_RAY_CLUSTER
    os.environ[name] = "0" if alone else "1"
    constants.ENABLE_RAY_CLUSTER = not alone  # the variable was read when Ray was imported
    try:
        yield
    finally:  # whatever this process does with Ray next
        constants.ENABLE_RAY_CLUSTER = read
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def _connect(ray: Any, address: str) -> Path:
    """Connects, and says in which folder the cluster keeps its logs and sockets."""
    own = {
        "num_cpus": available_threads(),
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
        # As urgent as the command itself; Ray's 15 would starve them beside whatever else the machine does.
        "_system_config": {"worker_niceness": 0},
    }
    options = own if address == LOCAL else {}
    for attempt in range(_STARTS if address == LOCAL else 1, 0, -1):
        try:
            with _silent_stderr(), _same_handler():
                context = ray.init(address, **options, log_to_driver=False, logging_level=logging.ERROR)
                if address == LOCAL:
                    _end_what_nobody_needs(ray)
            return Path(context.address_info["session_dir"])
        except Exception as error:  # the class itself, where a process of Ray's own did not start in time
            ray.shutdown()
            if attempt == 1:
                raise EngineError(_FAILED.get(address, _THERE.format(address, first_line(error)))) from error
    raise AssertionError("the last attempt returns or raises")


def _end_what_nobody_needs(ray: Any) -> None:
    """Ends the autoscaler, for which Ray would wait a second at the end, and the reader of logs."""
    with suppress(AttributeError):  # these are no public part of Ray, and it works with both as well
        node = ray._private.worker._global_node
        node.kill_monitor(check_alive=False)
        node.kill_log_monitor(check_alive=False)


def workers_of(ray: Any, count: int | None, threads: int | None) -> Workers:
    """How many workers of how many CPUs the connected cluster runs.

    Args:
        ray: The package.
        count: How many are asked for; None for as many as fit.
        threads: CPUs of each; None for as many as the workers leave each other, up to `MAX_THREADS`.

    Raises:
        UsageError: So many do not fit.
    """
    cpus = cpus_of(ray)
    sizes = [threads] if threads else range(min(MAX_THREADS, max(cpus, default=0)), 0, -1)
    for size in sizes:
        fitting = sum(cpu // size for cpu in cpus)
        if fitting >= (count or 1):
            return Workers(count or fitting, size)
    asked = counted(count or 1, "worker") + (f" of {counted(threads, 'CPU')}" if threads else "")
    raise UsageError(
        f"the cluster has {counted(sum(cpus), 'CPU')} on {counted(len(cpus), 'node')}, too few for {asked}; "
        "use fewer --ray-workers or --threads."
    )


def cpus_of(ray: Any) -> list[int]:
    """The CPUs of each node of the connected cluster."""
    return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


def require_address(address: str) -> None:
    """Refuses what is no address, and one where nothing listens, for which Ray would wait for a minute.

    Raises:
        EngineError: Nothing listens there.
        UsageError: It is not an address.
    """
    if address in (LOCAL, AUTO):
        return
    found = _PORT.fullmatch(address)
    if found is None or "/" in address or not 0 < int(found[2]) < 65536:
        raise UsageError(
            f"{shorten(address)} is not the address of a Ray cluster; use HOST:PORT, as `ray start --head` "
            "says it, auto, or nothing for a cluster of this machine's own."
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _SECONDS).close()
    except OSError as error:
        raise EngineError(f"no Ray cluster answers at {address} ({error.strerror or error}).") from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps Ray's native code from writing about its log; what goes wrong is raised."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


@contextmanager
def _same_handler() -> Iterator[None]:
    """Leaves SIGTERM to this process; Ray would have it end at once."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Keeps from users what Ray says to its callers: bounds on restarts have no other form yet."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*ray_remote_args.* is deprecated")
        yield


def _be_quiet(ray: Any) -> None:
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are raised
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
