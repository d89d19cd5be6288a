"""The process that serves an application: connections within limits of time, and an end that loses nothing.

uvicorn has no limit on how long a request's head may take to arrive, nor on how long an answer waits to be
taken; `Connection` adds both.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import uvicorn
from fastapi import FastAPI
from h11 import IDLE
from uvicorn.protocols.http.h11_impl import H11Protocol

from yolo_max.support.errors import UsageError

HEAD_SECONDS = 10.0
"""How long the head of a request may take to arrive."""
STALL_SECONDS = 30.0
"""How long a piece of an answer may wait to be taken."""
KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 1000
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Retry-After: 1\r\n\r\n{"error": "too many connections are open; try again."}'
)


class Connection(H11Protocol):
    """One connection, which is left when its client is too slow."""

    _head: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for a head; with too many connections, says so."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.write(_FULL)
            self._close_soon()
        else:
            self._head = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Gives the next head its time from its first byte on."""
        super().data_received(data)
        if self.conn.their_state is not IDLE:
            self._cancel_head()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Gives what waits to be sent its time."""
        super().pause_writing()
        self._taking = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It was sent."""
        super().resume_writing()
        self._cancel_taking()

    def on_response_complete(self) -> None:
        """Leaves a connection that is to be closed, and whose client takes no more."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close_soon()

    def timeout_keep_alive_handler(self) -> None:
        """The same, for one that was idle."""
        super().timeout_keep_alive_handler()
        self._close_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        self._cancel_head()
        self._cancel_taking()

    def _close_soon(self) -> None:
        self.transport.close()  # once all is sent
        self._cancel_taking()
        self._taking = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _cancel_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cancel_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None


def most_connections() -> int:
    """How many connections are served at once: each takes a file descriptor, and others need some too."""
    return min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def listen(host: str, port: int) -> socket.socket:
    """Takes an address, so that it is known to be free before anything slow is begun.

    Raises:
        UsageError: It is not free, or is none of this machine.
    """
    try:
        flags = socket.AI_PASSIVE
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        family, kind, protocol, _, address = found[0]
        # With its protocol: asyncio turns Nagle's algorithm off only where that says TCP, and with it every
        # other answer on a connection waits for 40 ms.
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{host} is not an address of this machine.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{host} port {port} cannot be listened at ({error.strerror}); use another --port."
        ) from error
    return listener


class Server(uvicorn.Server):
    """Serves one application until it is told to end."""

    def __init__(self, app: FastAPI, *, grace: float) -> None:
        """Serves nothing yet.

        Args:
            app: The application.
            grace: Seconds for requests that have begun, once no others are taken.
        """
        for name in ("uvicorn.error", "python_multipart"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # else clients could fill the log
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=[("X-Content-Type-Options", "nosniff")],
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(grace) + 1,
            )
        )
        self._service = app.state.service

    def drain(self, seconds: float) -> None:
        """Ends it from any thread: what has begun is finished.

        Args:
            seconds: How long it says before that it is draining, and still takes requests.
        """
        self._service.draining = True
        timer = Timer(seconds, setattr, (self, "should_exit", True))
        timer.daemon = True
        timer.start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to whoever runs this."""
        yield
