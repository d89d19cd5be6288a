"""RTSP streams through a relay, so that FFmpeg reaches the address that was checked and no other.

FFmpeg speaks RTSP itself, and would follow a redirect to anywhere. So it is given an address of this machine,
where a thread passes bytes on to the server, and whole messages back. One that FFmpeg might take for a
redirect ends the connection, so messages are told apart just as FFmpeg does it (`ff_rtsp_read_reply`).
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from yolo_max.images.addresses import resolve, split
from yolo_max.images.wire import STALL_SECONDS
from yolo_max.support.errors import ImageError

_ANSWER = re.compile(rb"RTSP/1\.0 [1245]\d\d( [^\x00-\x1f]*)?")
_HEADER = re.compile(rb"[^$\x00-\x08\x0a-\x1f][^\x00-\x08\x0a-\x1f]*")
_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,6})[ \t]*", re.IGNORECASE)
_MAX_LINE, _MAX_LINES = 4000, 200
"""FFmpeg cuts lines of 4096 bytes."""
_LEAST_FRAME = 8
"""FFmpeg takes the bytes of a shorter frame for a message."""
OPTIONS = {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtp,tcp"}
"""All of it through the one connection: no other port is opened, whatever the server proposes."""


class Relay:
    """Passes one connection on to a server.

    Attributes:
        address: What FFmpeg is given in place of the server's address.
        reason: Why the connection was ended here; None if it was not.
    """

    def __init__(self, address: str, *, private: bool) -> None:
        """Connects to the server.

        Args:
            address: Of an RTSP stream.
            private: Whether it may be a private address.

        Raises:
            ImageError: It may not be read, or cannot be reached.
        """
        self.reason: str | None = None
        parts, target = split(address), resolve(address, private=private)
        self._server = target.connect(STALL_SECONDS)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(STALL_SECONDS)
        self._client: socket.socket | None = None
        user = parts.netloc.rpartition("@")[0]
        query = f"?{parts.query}" if parts.query else ""
        here = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.address = f"rtsp://{f'{user}@' if user else ''}{here}{parts.path}{query}"
        threading.Thread(target=self._serve, name="yolo-max-relay", daemon=True).start()

    def close(self) -> None:
        """Ends the connection."""
        for each in (self._server, self._client):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        try:
            with self._listener:
                self._client, _ = self._listener.accept()
            with self._client, self._server:
                back = threading.Thread(target=self._answers, name="yolo-max-relay", daemon=True)
                back.start()
                while data := self._client.recv(2**16):
                    self._server.sendall(data)
                self.close()
                back.join()
        except OSError:
            self.close()

    def _answers(self) -> None:
        assert self._client is not None
        try:
            with self._server.makefile("rb") as stream:
                for message in messages(stream):
                    self._client.sendall(message)
        except ImageError as error:
            self.reason = error.reason
        except OSError:
            pass
        self.close()


def messages(stream: BinaryIO) -> Iterator[bytes]:
    """What an RTSP server sends, each answer and each frame of data as a whole.

    Raises:
        ImageError: It sends something else, or an answer that redirects.
        OSError: The connection is lost.
    """
    while start := stream.read(1):
        if start == b"$":  # a channel, a length and data (RFC 2326, 10.12)
            header = stream.read(3)
            length = int.from_bytes(header[1:], "big")
            if 0 < length < _LEAST_FRAME:
                raise ImageError("the server sends what is not RTSP")
            yield start + header + stream.read(length)
        else:
            yield _answer(start, stream)


def _answer(start: bytes, stream: BinaryIO) -> bytes:
    """An answer that may be passed on, with its body."""
    whole, length, pattern = b"", 0, _ANSWER
    for _ in range(_MAX_LINES):
        line = start + stream.readline(_MAX_LINE)
        whole, start = whole + line, b""
        text = line.rstrip(b"\n").replace(b"\r", b"")
        if pattern is _HEADER and line.endswith(b"\n") and not text:
            return whole + stream.read(length)
        if not line.endswith(b"\n") or not pattern.fullmatch(text):
            break
        if text.lower().startswith(b"content-length:"):
            found = _LENGTH.fullmatch(text)
            if found is None:
                break
            length = int(found[1])
        pattern = _HEADER
    if re.match(rb"RTSP/\S*\s*3", whole):
        raise ImageError("it is redirected, which is not followed")
    raise ImageError("the server sends what is not RTSP")


def relayed(address: str, *, private: bool) -> Relay:
    """A relay to the server of an address.

    Raises:
        ImageError: As `Relay`.
    """
    try:
        return Relay(address, private=private)
    except OSError as error:
        raise ImageError(f"it cannot be reached ({error})") from error
