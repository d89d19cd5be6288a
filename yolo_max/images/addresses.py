"""Addresses on the network: resolved once, checked, and connected to at just the address that was checked.

Names are looked up here and nowhere else, so no second look-up can give another answer (DNS rebinding), and
each hop of a redirect is checked like the first. Private addresses (this machine, the local network, a
cloud's metadata service) are refused; only the first hop may lead to one, where the user allows it.
"""

from __future__ import annotations

import base64
import http.client
import io
import os
import socket
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from time import monotonic
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from yolo_max.images.suffixes import IMAGE_SUFFIXES
from yolo_max.images.wire import Wire, wait
from yolo_max.support.errors import ImageError
from yolo_max.support.text import abridge, first_line, shorten

MAX_HOPS = 5
MAX_IMAGE_BYTES = 100 * 2**20
MAX_VIDEO_BYTES = 4 * 2**30
IMAGE_SECONDS = 30.0
VIDEO_SECONDS = 600.0
_PORTS = {"http": 80, "https": 443, "rtsp": 554}
_NAT64 = ip_network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Target:
    """A server, at the address that was checked."""

    scheme: str
    host: str
    port: int
    ip: str

    def connect(self, timeout: float) -> socket.socket:
        """Connects to it.

        Raises:
            ImageError: It cannot be reached.
        """
        try:
            plain = socket.create_connection((self.ip, self.port), timeout)
            if self.scheme != "https":
                return plain
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        except OSError as error:
            raise ImageError(f"{self.host} cannot be reached ({error.strerror or error})") from error


def is_address(source: str) -> bool:
    """Whether a source is an address that can be read."""
    return source.partition("://")[0].lower() in _PORTS and "://" in source


def is_webcam(source: str) -> bool:
    """Whether a source is the number of a webcam: digits that are not the name of a file."""
    return source.isdecimal() and len(source) < 4 and not os.path.lexists(source)


def split(address: str) -> SplitResult:
    """The parts of an address.

    Raises:
        ImageError: It is none that can be read.
    """
    try:
        parts = urlsplit(address)
        known = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not address.isprintable() or " " in address:
        raise ImageError(f"{shorten(address)} is not an address of http, https or rtsp")
    return parts


def suffix_of(address: str) -> str:
    """The suffix of what an address leads to, in lower case; empty without one."""
    return Path(unquote(split(address).path)).suffix.lower()


def is_image_address(address: str) -> bool:
    """Whether an address is that of an image, by its suffix."""
    return suffix_of(address) in IMAGE_SUFFIXES


def file_name(address: str) -> str:
    """A name for the results of an address: that of its file, or of its server."""
    parts = split(address)
    name = Path(unquote(parts.path)).name or str(parts.hostname)
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)[-100:].lstrip(".") or "stream"


def resolve(address: str, *, private: bool = False) -> Target:
    """Looks an address up.

    Args:
        address: With its scheme.
        private: Whether it may be a private one.

    Raises:
        ImageError: It has none, or one of those that it has is private.
    """
    parts = split(address)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ImageError(f"{host} is not found ({getattr(error, 'strerror', None) or error})") from error
    ips = [str(each[4][0]) for each in found]
    if not private and not all(is_public(ip) for ip in ips):
        raise ImageError(f"{host} is a private address, which is not read (--allow-private allows it)")
    return Target(parts.scheme, host, port, ips[0])


def is_public(ip: str) -> bool:
    """Whether an IP address belongs to the public network, whichever way it is written."""
    try:
        address: IPv4Address | IPv6Address = ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour or address.teredo or address in _NAT64:
            return False  # they lead to an IPv4 address that nobody checked
    return address.is_global and not (address.is_multicast or address.is_reserved)


class Response(io.RawIOBase):
    """What a server sends, within limits of bytes and time.

    Attributes:
        kind: Its media type, "image/jpeg" say.
        max_bytes: How much is read at most.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        answer: http.client.HTTPResponse,
        wire: Wire,
        max_bytes: int,
    ) -> None:
        super().__init__()
        self._connection, self._answer, self._wire = connection, answer, wire
        self.kind = answer.headers.get_content_type()
        self.max_bytes = self._left = max_bytes

    def go_on(self) -> None:
        """Lets a stream that was opened take any time; it only must not stall."""
        self._wire.deadline = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads what is there.

        Raises:
            ImageError: It is more than allowed, takes too long, or the connection is lost.
        """
        try:
            data = self._answer.read1(len(buffer))
        except (OSError, http.client.HTTPException) as error:
            raise ImageError(f"the connection was lost ({_told(error)})") from error
        if not data and self._answer.length:
            raise ImageError(f"the connection was lost (its last {self._answer.length:,} bytes are missing)")
        self._left -= len(data)
        if self._left < 0:
            raise ImageError(f"it has more than the {self.max_bytes:,} bytes that are read from the network")
        buffer[: len(data)] = data
        return len(data)

    def interrupt(self) -> None:
        """Ends a read on another thread."""
        self._wire.shutdown()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
        super().close()


def request(address: str, *, private: bool, max_bytes: int, seconds: float) -> Response:
    """Asks a web server for something, through redirects.

    Args:
        address: Of http or https.
        private: Whether its own address may be private; never that of a redirect.
        max_bytes: How much is read at most.
        seconds: How long it may take altogether, redirects and all; of a stream, until it is opened.

    Raises:
        ImageError: It is not given.
    """
    deadline = monotonic() + seconds
    for hop in range(MAX_HOPS + 1):
        target = resolve(address, private=private and hop == 0)
        if target.scheme not in ("http", "https"):
            raise ImageError(f"it is redirected to {target.scheme}, which is not read")
        connection = http.client.HTTPConnection(target.host, target.port)
        wire = Wire(target.connect(wait(deadline)), deadline)
        connection.sock = wire
        parts = split(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "yolo-max", "Accept": "*/*"}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise ImageError(f"{target.host} does not answer ({_told(error)})") from error
        except ImageError:
            connection.close()
            raise
        if answer.status == 200:
            wire.left = None
            return Response(connection, answer, wire, max_bytes)
        connection.close()
        location = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or not location:
            raise ImageError(f"{target.host} answers {answer.status} {shorten(answer.reason)}")
        try:
            following = urljoin(address, location)
        except ValueError as error:
            raise ImageError("it is redirected to what is not an address of http, https or rtsp") from error
        if target.scheme == "https" and not following.lower().startswith("https://"):
            raise ImageError("it is redirected to an address without encryption")
        address = following
    raise ImageError(f"it is redirected more than {MAX_HOPS} times")


def _told(error: Exception) -> str:
    """What an error says, short: a server may have chosen its words."""
    return abridge(first_line(error), 100)
