"""The Mojo kernels as a graph extension: precompiled once per process, in the background."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

from yolo_max.runtime.sources import PACKAGE, SHIPPED
from yolo_max.support.atomic import TEMPORARY_PREFIX
from yolo_max.support.cache import cache_folder, cache_root
from yolo_max.support.errors import OutputError

SOURCES = PACKAGE
"""Mojo's packages share the folders of Python's: ``kernels``, and what networks add."""

_RUN_MOJO = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent:  # it had ended already
    sys.exit(1)
from mojo._entrypoints import exec_mojo
sys.argv[0] = "mojo"
exec_mojo()
"""
"""Becomes the Mojo compiler, like the command ``mojo``, which need not be on the path.

It ends on Ctrl-C whatever its parent does, and on Linux (PR_SET_PDEATHSIG) with its parent.
"""

_PREFIX = f"{TEMPORARY_PREFIX}kernels_"
_STALE_SECONDS = 24 * 3600


class Precompilation:
    """The Mojo compiler at work on the kernels, in a child process that ends with this one."""

    def __init__(self) -> None:
        """Starts the compiler; never raises."""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            parent = cache_folder("graphs")
            _sweep(parent)
        except OutputError:
            parent = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            # The file's name becomes the module's.
            self._package = folder / "yolo_max.mojoc"
            # -P: nothing is imported from the working directory.
            mojo = [sys.executable, "-P", "-c", _RUN_MOJO, str(os.getpid())]
            self._process = subprocess.Popen(
                [*mojo, "precompile", str(SOURCES), "-o", str(self._package)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return
        atexit.register(_discard, self._process, folder, os.getpid())

    def result(self) -> Path:
        """Waits for the package.

        Returns:
            What to pass to ``Graph(custom_extensions=[...])``: the package, or if it could not be made the
            folder of sources, which MAX then compiles itself and reports what is wrong.
        """
        made = self._process is not None and self._process.wait() == 0 and self._package.is_file()
        return self._package if made else SOURCES


def precompile() -> Precompilation:
    """Starts precompiling the kernels on the first call, and returns at once.

    MAX would do it at the beginning of every graph, blocking everything else.
    """
    with _starting:
        return _started()


_starting = Lock()
_started = cache(Precompilation)


def _after_fork() -> None:
    global _starting
    _starting = Lock()  # another thread may have held it
    _started.cache_clear()  # the compiler is the parent's child


os.register_at_fork(after_in_child=_after_fork)


def precompile_on_first_start() -> None:
    """Starts precompiling if no graph is cached or shipped, so that one will likely have to be compiled."""
    try:
        there = any(any(folder.glob("*.mef")) for folder in (SHIPPED, cache_root() / "graphs"))
    except (OSError, OutputError):
        there = False
    if not there:
        precompile()


def _sweep(parent: Path) -> None:
    """Removes what killed processes left behind: nothing takes a day to compile."""
    with suppress(OSError):
        for folder in parent.glob(f"{_PREFIX}*"):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _discard(process: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
