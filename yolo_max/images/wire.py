"""A connection to a web server that nothing keeps waiting: each read ends with the time for all."""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from time import monotonic

from yolo_max.support.errors import ImageError

STALL_SECONDS = 10.0
"""How long a server may say nothing."""
_MAX_HEAD = 2**18
"""Bytes before those of the body: answers without an end, as of status 100, are left."""


class Wire:
    """A connection as http.client uses one; no wait on it lasts longer than allowed.

    Attributes:
        deadline: When all must be there, by the monotonic clock; None for a stream.
        left: How many bytes may come; None for any number.
    """

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        """Takes a connection."""
        self._stream = stream
        self.deadline: float | None = deadline
        self.left: int | None = _MAX_HEAD

    def sendall(self, data: bytes) -> None:
        """Sends all of it."""
        self._stream.settimeout(wait(self.deadline))
        self._stream.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What comes, to read."""
        return io.BufferedReader(_Received(self, self._stream))

    def shutdown(self) -> None:
        """Ends a read on another thread."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection, once what comes is closed too."""
        self._stream.close()


class _Received(io.RawIOBase):
    """What comes through a connection; it is open until this and the connection are closed."""

    def __init__(self, wire: Wire, stream: socket.socket) -> None:
        super().__init__()
        self._wire, self._stream = wire, stream
        self._raw = stream.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._stream.settimeout(wait(self._wire.deadline))
        try:
            count = self._raw.readinto(buffer) or 0
        except TimeoutError:
            wait(self._wire.deadline)
            raise
        if self._wire.left is not None:
            self._wire.left -= count
            if self._wire.left < 0:
                raise ImageError("the server's answer does not begin")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def wait(deadline: float | None) -> float:
    """How many seconds may be waited now.

    Raises:
        ImageError: There is no time left.
    """
    left = STALL_SECONDS if deadline is None else deadline - monotonic()
    if left <= 0:
        raise ImageError("the server takes too long")
    return min(left, STALL_SECONDS)
