"""The terminal: messages, errors, and what shows that a command is busy.

Results go to stdout; messages and errors go to stderr. Bars and spinners are drawn on a terminal only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

DEBUG_VARIABLE = "YOLO_MAX_DEBUG"


def _ask_for_tracebacks(value: bool) -> bool:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"
    return value


Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        callback=_ask_for_tracebacks,
        is_eager=True,
        help="Show the traceback of an error.",
        rich_help_panel="Terminal",
        metavar="",
    ),
]
"""The ``--debug`` option of every command."""


def debugging() -> bool:
    """Whether tracebacks were asked for."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


@cache
def stdout() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def stderr() -> Console:
    """Where everything else goes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(message: str, style: str | None = None) -> None:
    """Prints one line on stderr, without markup and unwrapped."""
    stderr().print(message, style=style, markup=False, emoji=False, soft_wrap=True)


def say_error(message: str) -> None:
    """Prints a one-line error on stderr."""
    from rich.text import Text

    line = Text.assemble(("Error: ", "bold red"), printable(message))
    stderr().print(line, soft_wrap=True)


def printable(text: str) -> str:
    """The text with control characters escaped: file names may hold anything."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


@contextmanager
def warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Shows Python warnings as one line each, or not at all."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if not quiet:
            say(f"Warning: {message}", "yellow")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


@contextmanager
def busy(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows slow steps: a line for each and, on a terminal, the time elapsed below it.

    Yields:
        A function that takes the sentence to show.
    """
    if quiet:
        yield lambda _: None
        return
    if not stderr().is_terminal:
        yield say
        return
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    with Progress(SpinnerColumn(), TimeElapsedColumn(), console=stderr(), transient=True) as clock:

        def show(sentence: str) -> None:
            say(sentence)
            if not clock.tasks:
                clock.add_task("")

        yield show
