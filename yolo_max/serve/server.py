"""The process that serves an application: connections within limits of time, and an end that loses nothing.

uvicorn limits only how long a connection is without a request; `Connection` limits all that a client may keep
it waiting for.
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
from h11 import IDLE, SEND_BODY, SEND_RESPONSE
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from yolo_max.serve.answers import refused
from yolo_max.serve.body import discard
from yolo_max.serve.errors import BUSY, RequestError
from yolo_max.support.errors import UsageError

HEAD_SECONDS = 10.0
"""How long a request's head may take to arrive, what is left of a body once it is answered, and the end."""
STALL_SECONDS = 30.0
"""How long a piece of an answer may wait to be taken."""
KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 1000


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer where too many connections are open, once the request is read: a reset would overtake it."""
    await discard(Request(scope, receive))
    headers = {**BUSY, "Connection": "close"}
    await refused(RequestError(503, "too many connections are open; try again.", headers))(
        scope, receive, send
    )


class Connection(H11Protocol):
    """One connection, which is left when its client is too slow.

    Whatever is awaited of the client has its time, which what arrives meanwhile does not extend: a head, the
    rest of a body that is answered already, that a piece of an answer is taken, the end. An application at
    work has limits of its own, and a connection without a request that of uvicorn, until its next byte.
    """

    _awaited: str | None = None
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for a head; with too many connections, for one that is told so."""
        super().connection_made(transport)
        most = most_connections()
        if len(self.connections) > most + most // 4:
            transport.abort()
        elif len(self.connections) > most:
            self.app = _full
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, unless there is an answer already."""
        if self.conn.our_state in (IDLE, SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def eof_received(self) -> None:
        """Nothing will come any more: the client is gone."""
        super().eof_received()
        self.transport.close()
        self._watch()

    def pause_writing(self) -> None:
        """What was written has to be taken first."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It was."""
        super().resume_writing()
        self._watch()

    def on_response_complete(self) -> None:
        """All of an answer is written."""
        super().on_response_complete()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """No request came."""
        super().timeout_keep_alive_handler()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        super().connection_lost(exc)
        self._cancel()

    def _watch(self) -> None:
        """Gives its time to what is awaited now, unless it was awaited before."""
        awaited = self._what_is_awaited()
        if awaited != self._awaited:
            self._awaited = awaited
            self._cancel()
            if awaited is not None:
                seconds = STALL_SECONDS if awaited == "taking" else HEAD_SECONDS
                self._limit = self.loop.call_later(seconds, self.transport.abort)

    def _what_is_awaited(self) -> str | None:
        if self.transport.is_closing():  # once all is taken
            return "end"
        if self.flow.write_paused:
            return "taking"
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        if self.conn.their_state is SEND_BODY:
            return "rest"
        return "head" if self.timeout_keep_alive_task is None else None

    def _cancel(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def most_connections() -> int:
    """How many connections are served at once: each takes a file descriptor, and others need some too.

    A quarter more are told to come again; what comes beyond them is closed at once.
    """
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
