"""Whose turn it is to run an engine: one caller on all threads, or several that share them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Turns:
    """Lets callers from any threads run an engine, in the order in which they come.

    A caller is answered soonest if it has all threads; many give the highest throughput if each has a share.
    So they share when as many wait as there are shares, and go on as long as two wait for the next share. A
    single one waits to be alone again: what has begun with a share keeps it, and leaves threads idle when no
    other runs beside it.

    Args:
        callers: How many may share.
    """

    def __init__(self, callers: int) -> None:
        self._callers = callers
        self._line: deque[object] = deque()
        self._running, self._alone = 0, False
        self._shares = 0  # that are free, and promised to those who waited when sharing began
        self._changed = Condition()

    @contextmanager
    def take(self, *, may_be_alone: bool = True) -> Iterator[bool]:
        """Waits for a turn and holds it inside the context.

        Args:
            may_be_alone: Whether a caller gets all threads where few wait; else it always shares them.

        Yields:
            Whether the threads are shared with others.
        """
        me = object()
        with self._changed:
            self._line.append(me)
            self._changed.notify_all()  # the first in the line may have room now that another waits
            try:
                self._changed.wait_for(lambda: self._line[0] is me and self._has_room(may_be_alone))
                crowded = 1 < self._callers <= len(self._line)
                self._alone = may_be_alone and not self._running and not crowded
                self._shares = self._callers if not self._running and crowded else self._shares
                self._shares = max(0, self._shares - 1)
                self._running += 1
            finally:
                self._line.remove(me)
                self._changed.notify_all()
            shared = not self._alone
        try:
            yield shared
        finally:
            with self._changed:
                self._running, self._alone = self._running - 1, False
                self._changed.notify_all()

    def _has_room(self, may_be_alone: bool) -> bool:
        """Whether the first in the line may run, alone or beside those that share."""
        if self._alone or self._running == self._callers:
            return False
        return not self._running or not may_be_alone or self._shares > 0 or len(self._line) > 1
