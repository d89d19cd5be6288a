"""A web server on this machine that answers as a test says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep


@dataclass
class Answer:
    """What is sent for a path.

    Attributes:
        parts: Of the body, sent one after another.
        pause: Seconds between them.
        status: Of the answer.
        headers: Of the answer.
    """

    parts: list[bytes]
    pause: float = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(answers: dict[str, Answer], seen: list[str] | None = None) -> Iterator[str]:
    """Serves until the context ends; gives its address. ``seen`` gets the paths that are asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append(self.path)
            answer = answers.get(self.path, Answer([], status=404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for part in answer.parts:
                    self.wfile.write(part)
                    self.wfile.flush()
                    sleep(answer.pause)
            except OSError:
                return  # the reader has had enough

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def sending(start: bytes, again: bytes = b"", pause: float = 0) -> Iterator[str]:
    """Answers one request with these bytes, and then with others again and again; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            client, _ = listener.accept()
            with client:
                client.recv(2**16)
                client.sendall(start)
                while again:
                    client.sendall(again)
                    sleep(pause)
        except OSError:
            return

    Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        listener.close()
