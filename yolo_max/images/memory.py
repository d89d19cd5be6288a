"""Memory that all threads share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Bytes that threads lease for a while, and wait for while others hold them.

    Args:
        size: Of the whole budget.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def lease(self, size: int) -> Iterator[None]:
        """Waits until that much is free and holds it inside the context.

        Args:
            size: In bytes. More than the budget counts as all of it, so that it is held alone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.take(size))
        try:
            yield
        finally:
            self.give_back(size)

    def take(self, size: int) -> bool:
        """Takes that much, to be given back later, if it is free; whether it was."""
        size = min(size, self._size)
        with self._changed:
            free = self._free >= size
            self._free -= size * free
        return free

    def give_back(self, size: int) -> None:
        """Gives back what was taken."""
        with self._changed:
            self._free += min(size, self._size)
            self._changed.notify_all()


class HeldMemory:
    """Counts the bytes that objects hold until they are gone, so that no more are begun meanwhile.

    Args:
        size: From so many bytes on there is no room.
    """

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._lock = threading.RLock()  # an object may end while another is counted

    def hold(self, owner: object, size: int) -> None:
        """Counts bytes for as long as an object lives."""
        self._add(size)
        weakref.finalize(owner, self._add, -size).atexit = False

    def has_room(self) -> bool:
        """Whether another object should be begun."""
        return self._held < self._size

    def _add(self, size: int) -> None:
        with self._lock:
            self._held += size


HELD = HeldMemory(2**30)
"""For the frames of videos that are worked on, on all threads together."""
