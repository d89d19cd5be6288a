"""Who may ask: clients with the token; without one, no page of another site through a visitor's browser."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from yolo_max.serve.answers import refused
from yolo_max.serve.errors import RequestError
from yolo_max.support.errors import UsageError
from yolo_max.support.text import shorten

TOKEN_VARIABLE = "YOLO_MAX_TOKEN"
MIN_TOKEN = 16
"""Characters: a shorter token could be guessed."""
OPEN = frozenset({"/", "/docs", "/openapi.json", "/health"})
"""What needs no token: pages without data, and the question of a load balancer."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names and addresses of this machine, for itself."""


def read_token(path: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> str | None:
    """The token that clients must send: from a file, else from the environment; None if there is none.

    It is never an argument of the command, which every user of the machine could read.

    Args:
        path: The file; what surrounds the token there (a line's end) does not count.
        environment: Has it as ``YOLO_MAX_TOKEN``.

    Raises:
        UsageError: The file cannot be read, others may read it, or the token is too short or not plain.
    """
    if path is not None:
        try:
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise UsageError(f"{path} can be read by other users; chmod 600 it.")
                token = file.read(4096).strip()
        except OSError as error:
            raise UsageError(f"the token in {path} cannot be read ({error.strerror}).") from error
    elif TOKEN_VARIABLE in environment:
        token = environment[TOKEN_VARIABLE].strip()
    else:
        return None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"a token must have at least {MIN_TOKEN} characters, of ASCII and without spaces; make one with: "
            "openssl rand -hex 32."
        )
    return token


class Access:
    """Answers who may not ask.

    Args:
        app: The application.
        token: What clients must send as ``Authorization: Bearer TOKEN``; None if anybody may ask.
        hosts: Without a token, the names that the server may be called by, besides localhost and addresses. A
            page whose name is made to lead to this machine (DNS rebinding) calls it by another.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Iterable[str] = ()) -> None:
        self._app, self._token = app, token
        self._hosts = LOCAL | {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refused(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        if self._token is not None:
            given = headers.get("authorization", "").encode()
            if scope["path"] in OPEN or hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                return None
            return RequestError(
                401, "a token is needed: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"}
            )
        host = headers.get("host", "")
        name = _name(host)
        if name not in self._hosts and not _is_address(name):
            advice = "use its address, or start it with --allowed-host."
            return RequestError(403, f"this server is not called {shorten(name)}; {advice}")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return RequestError(403, "pages of other sites may not ask this server.")
        return None


def _name(host: str) -> str:
    """The host of ``host:port``, in lower case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Whether it is an address of IP, which nobody can make lead elsewhere."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
