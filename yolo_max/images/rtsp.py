"""RTSP streams through a relay, so that FFmpeg reaches the address that was checked and no other.

FFmpeg speaks RTSP itself, and would follow a redirect to anywhere. So it is given an address of this machine,
where a thread passes bytes on to the server and back. An answer that redirects ends the connection.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from yolo_max.images.addresses import STALL_SECONDS, resolve, split
from yolo_max.support.errors import ImageError

REDIRECTS = (b"RTSP/1.0 3", b"RTSP/2.0 3")
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
        before = b""
        with suppress(OSError):
            while data := self._server.recv(2**16):
                joined = before + data
                if any(redirect in joined for redirect in REDIRECTS):
                    self.reason = "it is redirected, which is not followed"
                    break
                before = joined[-len(REDIRECTS[0]) + 1 :]
                self._client.sendall(data)
        self.close()


def relayed(address: str, *, private: bool) -> Relay:
    """A relay to the server of an address.

    Raises:
        ImageError: As `Relay`.
    """
    try:
        return Relay(address, private=private)
    except OSError as error:
        raise ImageError(f"it cannot be reached ({error})") from error
