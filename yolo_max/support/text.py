"""Putting values into sentences: untrusted ones short and on one line, whatever they are; and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shorten(value: Any, limit: int = 60) -> str:
    """What a value looks like in code, cut to ``limit`` characters.

    Only the outermost list is looked into: values that hold each other many times over would take for ever.
    """
    if isinstance(value, list | tuple):
        inside = ", ".join(shorten(v, limit) if _is_plain(v) else "…" for v in value[:limit])
        text = f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    elif isinstance(value, str):
        text = repr(value[:limit])
    elif _is_plain(value):
        try:
            text = repr(value)
        except ValueError:  # Python writes out no int of more than 4300 digits
            text = "a huge int"
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of a long list of names."""
    rest = len(names) - limit
    return ", ".join(visible(name[:80]) for name in names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 image``, ``1,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def visible(text: str) -> str:
    """The text with what would break a line or steer a terminal replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | None)
