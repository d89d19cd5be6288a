"""A server in a process of its own, on this machine alone, and its clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

HOST = "127.0.0.1"


@contextmanager
def serving(weights: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """A server in a process of its own; gives its port and process."""
    command = [sys.executable, "-m", "yolo_max", "serve", "-w", weights, "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        port = int(line.rstrip("/\n").rpartition(":")[2])
        end = time.monotonic() + 60
        while True:
            try:
                get(port, "/health")
                break
            except OSError:
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.1)
        yield port, process.pid
        process.terminate()
        assert process.wait(60) == 0, "the server did not end as it should"
    finally:
        process.kill()


def get(port: int, path: str) -> bytes:
    """What a path gives."""
    connection = HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read()


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stops a process for a while."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def state_of(process: int) -> dict[str, int]:
    """Memory in MiB, open files and threads of a process."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "rss_mib": int(fields["VmRSS"].split()[0]) // 1024,
        "files": len(os.listdir(f"/proc/{process}/fd")),  # noqa: PTH208
        "threads": int(fields["Threads"]),
    }


class Client:
    """One client, with a connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=900)

    def ask(self, image: bytes) -> tuple[int, bytes]:
        """Status and body of the answer for an image."""
        headers = {"Content-Type": "application/octet-stream"}
        try:
            self._connection.request("POST", "/predict", image, headers)
            answer = self._connection.getresponse()
        except ConnectionError:  # it was idle for too long
            self._connection.close()
            self._connection.request("POST", "/predict", image, headers)
            answer = self._connection.getresponse()
        return answer.status, answer.read()
