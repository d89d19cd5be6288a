"""Whose turn it is to run an engine: one caller on all threads, or several that share them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Turns:
    """Lets callers from any threads run an engine as fast as it goes.

    A lone caller is answered soonest if it has all threads; several give the highest throughput if each has a
    share.

    Args:
        callers: How many may run at once.
    """

    def __init__(self, callers: int) -> None:
        self._callers = callers
        self._running = self._waiting = 0
        self._alone = False
        self._changed = Condition()

    @contextmanager
    def take(self, *, may_be_alone: bool = True) -> Iterator[bool]:
        """Waits for a turn and holds it inside the context.

        Args:
            may_be_alone: Whether a caller beside whom nobody runs or waits gets all threads.

        Yields:
            Whether the threads are shared with others.
        """
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and self._running < self._callers)
            finally:
                self._waiting -= 1
            self._alone = may_be_alone and not self._running and not self._waiting
            shared = not self._alone
            self._running += 1
        try:
            yield shared
        finally:
            with self._changed:
                self._running, self._alone = self._running - 1, False
                self._changed.notify_all()
