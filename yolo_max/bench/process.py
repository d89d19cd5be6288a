"""The handle on an engine's process: requests with a time limit, and silence while others are timed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from types import TracebackType
from typing import Any, Self

from yolo_max.bench.engines import NotMeasuredError

LOG_TAIL = 2000
"""Characters of an engine's last words that are kept."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(Exception):
    """An engine raised, died or did not answer.

    Attributes:
        log: The end of what its process wrote to stdout and stderr.
    """

    def __init__(self, reason: str, log: str = "") -> None:
        """Says what happened in one phrase."""
        super().__init__(reason)
        self.log = log


class WorkerProcess:
    """One engine's process, stopped (SIGSTOP) whenever it has no request to answer; a context manager.

    An engine may keep threads that spin or poll. Stopped, it takes nothing from the one that is being timed.

    Attributes:
        pid: Of the process, and of its group.
    """

    def __init__(self, cpus: Sequence[int], threads: int, env: Mapping[str, str] | None = None) -> None:
        """Starts the process; it imports nothing heavy until it is set up.

        Args:
            cpus: The CPUs it may run on; empty where the system cannot pin.
            threads: What OpenMP and the like are told.
            env: More environment variables.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed with this object
        self._connection, theirs = multiprocessing.Pipe()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",  # or it would import what lies in the working directory
                "-m",
                "yolo_max.bench.worker",
                str(theirs.fileno()),
                str(monotonic_ns()),
                ",".join(map(str, cpus)),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={
                **os.environ,
                # It finds the modules that this process finds.
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **dict.fromkeys(THREAD_VARIABLES, str(threads)),
                **(env or {}),
            },
            # Ctrl-C is for the parent, which ends its children itself, and theirs with them.
            start_new_session=True,
        )
        theirs.close()
        self.pid = self._process.pid

    def call(self, method: str, *, limit: float, **arguments: Any) -> Any:
        """Asks for one method of `yolo_max.bench.worker.Worker`.

        Args:
            method: Its name.
            limit: Seconds to wait for the answer.
            **arguments: Its arguments.

        Raises:
            NotMeasuredError: The engine sits this case out.
            WorkerError: It raised, died or did not answer in time; in the latter cases its process is gone.
        """
        self._signal(signal.SIGCONT)
        try:
            self._connection.send((method, arguments))
            if not self._connection.poll(limit):
                self.close()
                raise WorkerError(f"no answer within {limit:g} s", self._last_words())
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerError(self._obituary(), self._last_words()) from None
        self._signal(signal.SIGSTOP)
        if kind == "sits out":
            raise NotMeasuredError(value)
        if kind == "error":
            raise WorkerError(value, self._last_words())
        return value

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        """Signals the engine's process and whatever it has started, as torch.compile does."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _obituary(self) -> str:
        self._connection.close()
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.close()
            return "its process closed the pipe"
        if code >= 0:
            return f"its process ended with exit code {code}"
        return f"its process was ended by {signal.Signals(-code).name}"

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-LOG_TAIL:]
