"""The service on a thread of the test, with a network that takes no time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from fakes import SharedEngine, fake_weights

from yolo_max.predict.predictor import Predictor
from yolo_max.serve.answers import Backend
from yolo_max.serve.application import Service, application
from yolo_max.serve.options import ApplicationOptions
from yolo_max.serve.server import Server, listen

HOST = "127.0.0.1"
OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        sentence: str = self.json["error"]
        return sentence


@dataclass
class Served:
    """A server that runs.

    Attributes:
        predictor: The one that it asks.
        service: What its routes share.
        server: Itself.
        port: Where it listens.
    """

    predictor: Predictor
    service: Service
    server: Server
    port: int

    @property
    def address(self) -> str:
        """Its page."""
        return f"http://{HOST}:{self.port}/"

    def ask(
        self,
        body: bytes | None = None,
        path: str = "/predict",
        *,
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        """Posts a body, or gets a path; headers are named in Python's way."""
        connection = HTTPConnection(HOST, self.port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = method or ("GET" if body is None else "POST")
        connection.request(method, path, body, {**(OCTETS if body is not None else {}), **named})
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.headers), response.read())
        connection.close()
        return answer


@contextmanager
def serving(
    *,
    nap: float = 0,
    predictor: Predictor | None = None,
    token: str | None = None,
    hosts: Iterable[str] = (),
    backend: Backend | None = None,
    send_buffer: int | None = None,
    **options: Any,
) -> Iterator[Served]:
    """A server until the context ends.

    Args:
        nap: Seconds that the network takes for an image.
        predictor: One of the test's own.
        token: As for the application.
        hosts: Likewise.
        backend: Likewise.
        send_buffer: Bytes that the system takes of an answer before its client does.
        options: Of the application.
    """
    predictor = predictor or Predictor(
        fake_weights(), engine=SharedEngine(nap=nap), conf=0.5, max_pixels=10**6, workers=2
    )
    app = application(predictor, ApplicationOptions(**options), token=token, hosts=hosts, backend=backend)
    with listen(HOST, 0) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        port = listener.getsockname()[1]
        server = Server(app, grace=10)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Served(predictor, app.state.service, server, port)
        finally:
            server.drain(0)
            thread.join(120)
            assert not thread.is_alive()
