"""Silence: what PyTorch says of its own workings is not shown; what other threads say meanwhile is."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_ONE = threading.RLock()


class _OtherThreads:
    """A stream of text that leaves out what one thread writes, until `pass_all_on`."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream = stream
        self._silent: int | None = thread

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._silent else int(self._stream.write(text))

    def pass_all_on(self) -> None:
        self._silent = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps off stderr what this thread writes, logs and warns of; one thread at a time.

    Warnings alone are those of all threads: Python 3.11 has one list of filters for them.
    """
    with _ONE, contextlib.ExitStack() as stack:
        me = threading.get_ident()

        def of_others(record: logging.LogRecord) -> bool:
            return record.thread != me

        for handler in _handlers():
            handler.addFilter(of_others)
            stack.callback(handler.removeFilter, of_others)
        # What it could not capture it prints as code.
        stream: Any = _OtherThreads(sys.stderr, me)
        stack.callback(stream.pass_all_on)  # a handler that was made meanwhile keeps it
        stack.enter_context(contextlib.redirect_stderr(stream))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _handlers() -> set[logging.Handler]:
    """All that loggers have, and the one for those that have none."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = {each for logger in loggers if isinstance(logger, logging.Logger) for each in logger.handlers}
    return found | {logging.lastResort} if logging.lastResort else found
