"""Limits the work of reading a pickle.

A pickle may refer to a value any number of times, so two hundred bytes can say ``t = (t, t)`` forty times
over: a tuple whose hash takes hours. References are free; whatever is copied or hashed is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_WORK = 2_000_000
"""Opcodes plus values copied or hashed; YOLOv8n's checkpoint takes 45,000."""

ODD_KEY = 1000
"""Steps for a tuple or a long integer as a key: a dict of many with equal hashes takes forever."""

MAX_KEY_PARTS = 8


class Work:
    """Counts the steps of reading a pickle."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._done = 0

    def count(self, steps: int) -> None:
        """Counts steps before they are done.

        Raises:
            WeightsError: The total is over the limit. The message is a sentence without its subject.
        """
        self._done += steps
        if self._done > MAX_WORK:
            raise WeightsError("repeats its own values over and over, which would take forever to read")

    def keys(self, values: Iterable[Any]) -> list[Any]:
        """The values, once they are known to be cheap to hash as keys of a dict or members of a set.

        Raises:
            WeightsError: They are not; as in `count`.
        """
        keys = list(values)
        for key in keys:
            if not isinstance(key, tuple):
                self._count_part(key)
            elif len(key) > MAX_KEY_PARTS:
                raise WeightsError("uses a long tuple as a key")
            else:
                self.count(ODD_KEY)
                for part in key:
                    self._count_part(part)
        return keys

    def _count_part(self, part: Any) -> None:
        if isinstance(part, str | bytes):
            self.count(1 + len(part) // 16)
        elif isinstance(part, int):
            self.count(1 if part.bit_length() < 64 else ODD_KEY + part.bit_length() // 64)
        elif isinstance(part, tuple | list | dict | set | frozenset):
            raise WeightsError(f"uses {shorten(part)} as a key, or as a part of one")
        else:  # None, a float, an object: hashed at once
            self.count(1)
