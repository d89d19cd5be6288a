"""A child process for an engine: the channel to it, its log, and the reason it ended.

Engines slow each other down in one process, so each engine that is measured or compared gets its own. Both
ends are here; what a child does is up to the function that it is started with.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LOG_TAIL = 2000
"""Characters kept of a log."""


class EngineProcessError(Exception):
    """An engine's process ended, did not answer, or answered with an error.

    Attributes:
        log: The end of what it wrote to stdout and stderr.
    """

    def __init__(self, reason: str, log: str = "") -> None:
        """Says what happened in one phrase."""
        super().__init__(reason)
        self.log = log


class EngineProcess:
    """A child process; a context manager, so that none outlives its use.

    Messages are pickles between two processes of one user. Output of libraries goes to the log, never into
    the channel.

    Attributes:
        pid: Of the process and of its group: its own children end with it.
    """

    def __init__(
        self, target: str, *arguments: str, cpus: Sequence[int] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """Starts the process.

        Args:
            target: "module:function", called in the child with its end of the channel.
            *arguments: More arguments of that function.
            cpus: The CPUs it may run on; empty for all, and where the system cannot pin.
            env: More environment variables.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed with this object
        self._connection, theirs = multiprocessing.Pipe()
        # The child imports this very package, and with -P nothing that lies in the working directory.
        path = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        channel, pinned = str(theirs.fileno()), ",".join(map(str, cpus))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, channel, pinned, target, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **(env or {})},
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children and theirs
            )
        self.pid = self._process.pid

    def send(self, message: object) -> None:
        """Sends a message; if the child is gone, the next `receive` says why."""
        with suppress(OSError):
            self._connection.send(message)

    def receive(self, limit: float | None = None) -> Any:
        """Waits for the next message.

        Args:
            limit: Seconds to wait; no limit when absent.

        Raises:
            EngineProcessError: The process has ended, or took too long, which ends it.
        """
        try:
            if self._connection.poll(limit):
                return self._connection.recv()
        except (EOFError, OSError):
            reason = f"its process ended with {self.exit_reason()}"
        else:
            reason = f"no answer within {limit:g} s"
            self._kill()
        raise EngineProcessError(reason, self.log_tail())

    def suspend(self) -> None:
        """Stops the process and its children until `resume`, so that spinning threads take no CPU time."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the process go on."""
        self._signal(signal.SIGCONT)

    @property
    def returncode(self) -> int | None:
        """As `subprocess.Popen` has it: below 0 for a signal; None while the process runs."""
        return self._process.returncode

    def exit_reason(self) -> str:
        """How the process ended: "exit code 3", "signal SIGKILL"; if it still runs, it is killed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self._kill()
        code = self._process.returncode
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def log_tail(self) -> str:
        """The end of what the process wrote to stdout and stderr."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-LOG_TAIL:]

    def close(self) -> None:
        """Ends the process."""
        self._kill()
        self._connection.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def _main(channel: str, pinned: str, target: str, *arguments: str) -> None:
    """The child: pinned to its CPUs and tied to its parent's life before anything heavy is imported."""
    if pinned:
        os.sched_setaffinity(0, [int(cpu) for cpu in pinned.split(",")])
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    module, _, function = target.partition(":")
    with Connection(int(channel)) as connection:
        getattr(importlib.import_module(module), function)(connection, *arguments)


if __name__ == "__main__":
    _main(*sys.argv[1:])
