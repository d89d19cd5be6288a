"""Memory around arrays that catches stray reads and writes."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.PAGESIZE


class Guarded:
    """Memory between two pages that must not be touched; a stray read or write ends the process.

    Arrays lie against the page behind them, or against the one before; what is left of their own pages is
    filled with a pattern.
    """

    PATTERN = 0xA5

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end
        self.left: list[NDArray[np.uint8]] = []
        self._libc = ctypes.CDLL(None, use_errno=True)

    def copy(self, values: NDArray[Any]) -> NDArray[Any]:
        """A copy of an array in memory of its own."""
        pages = -(-values.nbytes // PAGE)
        memory = mmap.mmap(-1, (pages + 2) * PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for guard in (address, address + (pages + 1) * PAGE):
            assert self._libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) == 0
        free = pages * PAGE - values.nbytes
        start, left = (PAGE + free, PAGE) if self.at_end else (PAGE, PAGE + values.nbytes)
        rest = np.frombuffer(memory, np.uint8, free, left)
        rest[...] = self.PATTERN
        self.left.append(rest)
        copy = np.frombuffer(memory, values.dtype, values.size, start).reshape(values.shape)
        copy[...] = values
        return copy

    def intact(self) -> bool:
        """Whether nothing was written beside the arrays on their own pages."""
        return all((rest == self.PATTERN).all() for rest in self.left)


def survives(run: Any) -> bool:
    """Whether a call ends well, in a process of its own; it must not start threads."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # the fault is the answer
        try:
            run()
            os._exit(0)
        except BaseException:
            os._exit(3)
    return os.waitpid(child, 0)[1] == 0
