"""Threads that work for requests, and how many requests may wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import perf_counter
from typing import TypeVar

from yolo_max.serve.errors import BUSY, ClientGoneError, RequestError

Answer = TypeVar("Answer")


class Workers:
    """A bounded number of threads, with a bounded number of requests that wait for one.

    Args:
        name: Of the threads.
        threads: How many work at once.
        waiting: How many requests may wait besides.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._threads, self._size = threads, threads + waiting
        self._under_way = 0
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return max(0, self._under_way - self._threads)

    def require_room(self) -> None:
        """Refuses a request that would find no room, before its body is read.

        Raises:
            RequestError: As many as may wait do.
        """
        if self._under_way >= self._size:
            raise RequestError(429, "too many requests are waiting; try again.", BUSY)

    async def run(
        self, work: Callable[[float], Answer], seconds: float, gone: Callable[[], Awaitable[object]]
    ) -> Answer:
        """Has a thread do something, for as long as somebody waits for it.

        Args:
            work: Called with the milliseconds that it waited for a thread.
            seconds: How long it may take, waiting included. What has begun is not stopped, but counts until
                it is done.
            gone: Ends when the client is gone.

        Raises:
            RequestError: As many as may wait do, or time ran out.
            ClientGoneError: The client is gone.
            Exception: Whatever ``work`` raised.
        """
        with self._lock:
            self.require_room()
            self._under_way += 1
        since = perf_counter()
        future = self._executor.submit(lambda: work((perf_counter() - since) * 1000))
        future.add_done_callback(self._done)
        answer, left = asyncio.wrap_future(future), asyncio.ensure_future(gone())
        try:
            await asyncio.wait((answer, left), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if left.done():
                raise ClientGoneError
            raise RequestError(503, f"there was no answer within {seconds:g} seconds; try again later.", BUSY)
        finally:
            answer.cancel()
            left.cancel()

    def close(self) -> None:
        """Ends the threads once they are done."""
        self._executor.shutdown()

    def _done(self, _: object) -> None:
        with self._lock:
            self._under_way -= 1
