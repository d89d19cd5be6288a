"""Requests that no honest client makes: malformed, cut off, too slow. For a server on this machine alone."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress

Abuse = Callable[[str, int, bytes], int]
"""From a host, a port and an image: the status of the answer; 0 if the connection was closed without one."""
PATIENCE = 300.0
"""Seconds until a server that says nothing, and leaves nobody, is an error."""
HEAD = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"


def exchange(host: str, port: int, *pieces: bytes, pause: float = 0, cut: bool = False) -> int:
    """Sends pieces and reads the status.

    Args:
        host: Where to.
        port: Likewise.
        pieces: Sent one after another.
        pause: Seconds between them.
        cut: Whether to leave at once when all is sent.
    """
    with socket.create_connection((host, port), PATIENCE) as wire:
        with suppress(OSError):  # the server may answer, and leave, before all is sent
            for piece in pieces:
                wire.sendall(piece)
                time.sleep(pause)
        if cut:
            return 0
        answer = b""
        with suppress(ConnectionError):
            while b"\r\n" not in answer and (more := wire.recv(2**16)):
                answer += more
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def until_it_is_left(host: str, port: int, head: bytes, more: bytes) -> int:
    """Keeps a connection, sends more once there is an answer, and reads until the server leaves it."""
    with socket.create_connection((host, port), PATIENCE) as wire:
        wire.sendall(head)
        answer = wire.recv(2**16)
        with suppress(ConnectionError):
            wire.sendall(more)
            while wire.recv(2**16):
                pass
        return int(answer.split()[1])


def post(body: bytes, kind: str = "image/jpeg", *, length: int | None = None, more: str = "") -> bytes:
    """A request with a body."""
    size = len(body) if length is None else length
    return f"{HEAD}Content-Type: {kind}\r\nContent-Length: {size}\r\n{more}\r\n".encode() + body


def _json(fields: object) -> bytes:
    return post(json.dumps(fields).encode(), "application/json")


def _form(body: bytes) -> bytes:
    return post(body, "multipart/form-data; boundary=x")


def _text(image: bytes) -> str:
    return base64.b64encode(image).decode()


ABUSES: dict[str, Abuse] = {
    # Not HTTP, or not whole.
    "garbage": lambda h, p, _: exchange(h, p, b"\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n"),
    "a head without end": lambda h, p, _: exchange(h, p, HEAD.encode() + b"X-Long: " + b"a" * 2**17),
    "two lengths": lambda h, p, i: exchange(h, p, post(i, more="Content-Length: 5\r\n")),
    "a length that is no number": lambda h, p, i: exchange(h, p, post(i).replace(b"Length: ", b"Length: x")),
    "a chunk without size": lambda h, p, _: exchange(
        h, p, f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc".encode()
    ),
    "left in the head": lambda h, p, _: exchange(h, p, HEAD.encode(), cut=True),
    "left in the body": lambda h, p, i: exchange(h, p, post(i[: len(i) // 2], length=len(i)), cut=True),
    "left before the answer": lambda h, p, i: exchange(h, p, post(i), cut=True),
    # HTTP, but no image.
    "half an image": lambda h, p, i: exchange(h, p, post(i[: len(i) // 2])),
    "nothing": lambda h, p, _: exchange(h, p, post(b"")),
    "text": lambda h, p, _: exchange(h, p, post(b"hello, I am an image")),
    "an image with a hole": lambda h, p, i: exchange(h, p, post(i[:200] + bytes(len(i) - 200))),
    "too many bytes": lambda h, p, _: exchange(h, p, post(b"\xff" * 3 * 2**20)),
    "too many bytes in chunks": lambda h, p, _: exchange(
        h,
        p,
        f"{HEAD}Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        *([b"100000\r\n" + b"\xff" * 2**20 + b"\r\n"] * 3),
        b"0\r\n\r\n",
    ),
    "too many pixels": lambda h, p, _: exchange(h, p, post(_huge_gif())),
    "a form as text": lambda h, p, _: exchange(h, p, post(b"conf=0.5", "application/x-www-form-urlencoded")),
    "compressed": lambda h, p, i: exchange(h, p, post(i, more="Content-Encoding: gzip\r\n")),
    "a form without end": lambda h, p, i: exchange(
        h, p, _form(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + i)
    ),
    "a form of nothing": lambda h, p, _: exchange(h, p, _form(b"--y--")),
    "JSON that is none": lambda h, p, _: exchange(h, p, post(b'{"image": ', "application/json")),
    "JSON without end": lambda h, p, _: exchange(h, p, post(b"[" * 10**5, "application/json")),
    "no base64": lambda h, p, _: exchange(h, p, _json({"image": "!!!!"})),
    "an address": lambda h, p, _: exchange(h, p, _json({"url": "http://127.0.0.1/a.jpg"})),
    "a path": lambda h, p, _: exchange(h, p, _json({"url": "/etc/passwd"})),
    "an option that makes no sense": lambda h, p, i: exchange(h, p, _json({"image": _text(i), "conf": "a"})),
    "an option of nobody": lambda h, p, i: exchange(h, p, _json({"image": _text(i), "weights": "/x.pt"})),
    "another host": lambda h, p, i: exchange(
        h, p, post(i).replace(b"Host: 127.0.0.1", b"Host: evil.example")
    ),
    # Slow; honest ones are answered.
    "slow but honest": lambda h, p, i: exchange(h, p, *_pieces(post(i), 5), pause=0.1),
    "a slow body": lambda h, p, i: exchange(h, p, *_pieces(post(i), 20), pause=0.4),
    "a body that stops once it is answered": lambda h, p, _: until_it_is_left(
        h, p, b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n", b"x"
    ),
    "a body that stops": lambda h, p, i: exchange(h, p, post(i[: len(i) // 2], length=len(i))),
}
"""What is done to the server, by name."""

EXPECTED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(ABUSES, (422,)),
    **dict.fromkeys(
        (
            *("garbage", "a head without end", "two lengths", "a length that is no number"),
            *("a chunk without size", "a form of nothing", "JSON that is none"),
            "JSON without end",
        ),
        (400,),
    ),
    **dict.fromkeys(("left in the head", "left in the body", "left before the answer"), (0,)),
    **dict.fromkeys(("text", "a form as text", "compressed"), (415,)),
    **dict.fromkeys(("too many bytes", "too many bytes in chunks", "too many pixels"), (413,)),
    **dict.fromkeys(("a slow body", "a body that stops"), (408,)),
    "another host": (403,),
    "a body that stops once it is answered": (405,),
    "slow but honest": (200,),
}
"""The statuses that each may be answered with."""


def _pieces(data: bytes, count: int) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[start : start + size] for start in range(0, len(data), size)]


def _huge_gif() -> bytes:
    """30,000 x 30,000 pixels in a few bytes."""
    side = (30_000).to_bytes(2, "little")
    frame = b"\x2c\0\0\0\0" + side + side + b"\0\x02\x02\x4c\x01\0"
    return b"GIF89a" + side + side + b"\x80\0\0\0\0\0\xff\xff\xff" + frame + b";"
