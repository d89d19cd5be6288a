"""What the child processes of `tests/test_engine_process.py` do."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection


def echoes(connection: Connection, greeting: str) -> None:
    """Says where it runs, then sends back what it is sent."""
    print("on stdout", flush=True)
    os.write(2, b"on stderr\n")
    connection.send((greeting, os.getpid()))
    while True:
        connection.send(connection.recv())


def ends(connection: Connection, how: str) -> None:
    """Ends in one of several ways, after a last word."""
    print("goodbye", flush=True)
    if how == "exit":
        os._exit(3)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "raise":
        raise ValueError("no more")
    time.sleep(600)
