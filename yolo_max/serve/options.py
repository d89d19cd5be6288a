"""The options of the service: limits of the application, and where it is served."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from yolo_max.support.errors import UsageError
from yolo_max.support.option import Options, a_path, a_word, at_least, option
from yolo_max.support.parse import words_of
from yolo_max.support.text import shorten

LIMITS, SERVER = "Limits", "Server"
MAX_PIXELS = 50_000_000
"""Pixels of an image that is decoded for a client, unless the server says otherwise."""


def seconds_from(low: float) -> Any:
    """A check for a number of seconds, of at least so many."""

    def check(name: str, value: Any) -> None:
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not low <= float(value) < math.inf:
            raise UsageError(
                f"{name} is {shorten(value)}, but it must be a number of seconds of at least {low:g}."
            )

    return check


def some_words(name: str, value: Any) -> None:
    """Checks a list or tuple of strings."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{name} is {shorten(value)}, but it must be a list of words.")


@dataclass(frozen=True, kw_only=True)
class ApplicationOptions(Options):
    """What the application takes from clients; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    max_bytes: int = option(20 * 2**20, LIMITS, "Refuse larger images and bodies (413).", "N", at_least(1))
    queue: int = option(32, LIMITS, "Requests that may wait; others are refused (429).", "N", at_least(0))
    timeout: float = option(
        30.0,
        LIMITS,
        "Seconds for a request to arrive (408), for its answer to be found (503), and to be taken.",
        "X",
        seconds_from(0.1),
    )
    allow_remote: bool = option(False, LIMITS, "Fetch the public addresses that clients name.")


@dataclass(frozen=True, kw_only=True)
class ServerOptions(Options):
    """Where the application is served; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    host: str = option("127.0.0.1", SERVER, "Address to listen at; 0.0.0.0 for all.", "ADDRESS", a_word)
    port: int = option(8000, SERVER, "Port to listen at; 0 for any that is free.", "N", at_least(0, 65535))
    allowed_host: Sequence[str] = option(
        (),
        SERVER,
        "Without a token: names that clients may call it by, besides addresses. May be repeated.",
        "NAME",
        some_words,
        default_text="--host",
        written_as=list[str],
        parse=words_of,
    )
    token_file: str | None = option(
        None,
        SERVER,
        "File with the bearer token that clients must send; or put it into YOLO_MAX_TOKEN.",
        "FILE",
        a_path,
        default_text="none",
    )
    drain: float = option(
        0.0,
        SERVER,
        "Seconds after SIGTERM in which /health says draining and requests are still taken.",
        "X",
        seconds_from(0),
    )
