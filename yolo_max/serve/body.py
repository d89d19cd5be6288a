"""A request's body as it arrives, within limits of bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Self

from starlette.requests import Request

from yolo_max.images.memory import MemoryBudget
from yolo_max.serve.errors import BUSY, ClientGoneError, RequestError

DISCARD_SECONDS = 2.0
"""How long the rest of a body that is refused is read: some clients send all of it before they read."""


async def discard(request: Request) -> None:
    """Reads what is left of a body that is not complete and keeps nothing, for a short while."""
    if "expect" in request.headers:  # its client waits for an answer before it sends anything
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while (await request.receive()).get("more_body", False):
                pass


class Body:
    """The body of one request; a context manager, in which its bytes count.

    Attributes:
        complete: Whether all of it has arrived.
    """

    def __init__(self, request: Request, *, max_bytes: int, seconds: float, budget: MemoryBudget) -> None:
        """Reads nothing yet.

        Args:
            request: Its request.
            max_bytes: How much is read at most.
            seconds: How long it may take to arrive.
            budget: For the bytes of all bodies together.
        """
        self._request, self._max_bytes, self._seconds = request, max_bytes, seconds
        self._budget, self._held = budget, 0
        self.complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._held)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What arrives.

        Raises:
            RequestError: It is too large, too slow, or there is no memory for it.
            ClientGoneError: Its client is gone.
        """
        announced = self._request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise self._too_large()
        size = 0
        deadline = asyncio.get_running_loop().time() + self._seconds
        while not self.complete:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await self._receive()
            except TimeoutError:
                raise RequestError(
                    408, f"the body took more than {self._seconds:g} seconds to arrive."
                ) from None
            size += len(piece)
            if size > self._max_bytes:
                raise self._too_large()
            if not self._budget.take(len(piece)):
                raise RequestError(429, "too many bodies are arriving at once; try again.", BUSY)
            self._held += len(piece)
            yield piece

    async def read(self) -> bytes:
        """All of it; raises as `pieces`."""
        return b"".join([piece async for piece in self.pieces()])

    async def discard(self) -> None:
        """Reads what is left and keeps nothing, for a short while."""
        if not self.complete:
            await discard(self._request)

    async def _receive(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            self.complete = True
            raise ClientGoneError
        self.complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def _too_large(self) -> RequestError:
        limit = f"{self._max_bytes:,} bytes that are taken, which --max-bytes of the server raises."
        return RequestError(413, f"the body has more than the {limit}")
