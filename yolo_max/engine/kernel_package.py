"""The Mojo kernels as MAX takes them into a graph: precompiled, once a process, beside other work."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from yolo_max.atomic import TEMPORARY_PREFIX
from yolo_max.cache import cache_folder, cache_root
from yolo_max.errors import OutputError

SOURCES = Path(__file__).resolve().parent.parent / "kernels"

_RUN_MOJO = "import sys; from mojo._entrypoints import exec_mojo; sys.argv[0] = 'mojo'; exec_mojo()"
"""What the command ``mojo`` does, which need not be on the path: the process becomes the compiler."""


class Precompilation:
    """The Mojo compiler at work on the kernels, in a process that this one takes along when it exits."""

    def __init__(self) -> None:
        """Starts it; nothing is raised, whatever comes in between."""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # Swept by `yolo-max cache clear` if this process is killed.
            parent = cache_folder("graphs")
        except OutputError:
            parent = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}kernels_", dir=parent))
            # The file's name becomes the module's.
            self._package = folder / "yolo_max_kernels.mojoc"
            # -P: nothing is imported from the working directory.
            mojo = [sys.executable, "-P", "-c", _RUN_MOJO]
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
            What to give to ``Graph(custom_extensions=[...])``: the package, or where that could not be made
            the folder of sources, with which MAX tries itself and says what is wrong.
        """
        made = self._process is not None and self._process.wait() == 0 and self._package.is_file()
        return self._package if made else SOURCES


@cache
def precompile() -> Precompilation:
    """Starts to precompile the kernels, the first time that it is called, and returns at once.

    MAX would do that when it begins a graph, for each one again, and keep everything waiting meanwhile.
    """
    return Precompilation()


os.register_at_fork(after_in_child=precompile.cache_clear)  # the compiler is the parent's child


def precompile_on_first_start() -> None:
    """Starts it at once where no graph is in the cache, so that one will most likely have to be compiled."""
    try:
        cached = any((cache_root() / "graphs").glob("*.mef"))
    except (OSError, OutputError):
        cached = False
    if not cached:
        precompile()


def _discard(process: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
