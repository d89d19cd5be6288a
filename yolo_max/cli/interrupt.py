"""Ctrl-C: exits at once during startup; during a run, first finishes the images that have begun."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from yolo_max.support.errors import ExitCode

CLEAN_UP = b"\r\x1b[2K\x1b[?25h"
"""Back to the start of the line, clears it, shows the cursor."""


class Interrupt:
    """Listens for Ctrl-C (SIGINT) and SIGTERM on a thread of its own; a context manager.

    Python runs signal handlers on the main thread, which a compilation may block for a minute; the listening
    thread hears a signal at once. Exiting from there is safe: every file is written beside its place and
    renamed into it.
    """

    def __init__(self) -> None:
        self._came = threading.Event()
        self._announce: Callable[[], object] | None = None

    @property
    def came(self) -> bool:
        """Whether a signal came: finish what has begun, and start nothing new."""
        return self._came.is_set()

    def finish_what_has_begun(self, announce: Callable[[], object]) -> None:
        """From now on a first signal calls ``announce`` and sets `came`; a second one ends the process."""
        self._announce = announce

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {each: signal.signal(each, _ignore) for each in (signal.SIGINT, signal.SIGTERM)}
        threading.Thread(target=self._listen, name="yolo-max-interrupt", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._writer.close()

    def _listen(self) -> None:
        with self._reader:
            while received := self._reader.recv(1):
                if received[0] not in (signal.SIGINT, signal.SIGTERM):
                    continue
                announce = self._announce
                if self.came or announce is None:
                    _leave()
                    return
                self._came.set()
                announce()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Python's own handler: the listening thread does the work."""


def _leave() -> None:
    # One unbuffered write, so that a progress bar on another thread cannot come between.
    with suppress(OSError):
        os.write(2, (CLEAN_UP if os.isatty(2) else b"") + b"Interrupted.\n")
    os._exit(ExitCode.INTERRUPTED)
