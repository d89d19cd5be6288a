"""Memory that all threads share."""

from __future__ import annotations

import threading
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
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
