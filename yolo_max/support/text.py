"""Values as text for messages: untrusted values short and on one line; counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from numbers import Real
from typing import Any


def shorten(value: Any, limit: int = 60) -> str:
    """A value's ``repr``, cut to ``limit`` characters.

    Only the outermost list is expanded: values nested in each other many times would take forever.
    """
    if isinstance(value, list | tuple):
        inside = ", ".join(shorten(v, limit) if _is_plain(v) else "…" for v in value[:limit])
        text = f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    elif isinstance(value, str):
        text = repr(value[:limit])
    elif _is_plain(value):
        try:
            text = repr(value)
        except ValueError:  # Python does not print ints of more than 4300 digits
            text = "a huge int"
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def abridge(text: str, limit: int = 500) -> str:
    """The text without its middle if it is longer than ``limit``: a long path, and what is wrong with it."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[: half - 1]}…{text[-half:]}"


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of a long list of names."""
    rest = len(names) - limit
    return ", ".join(visible(name[:80]) for name in names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 image``, ``1,200 images``, ``2 classes``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def file_size(size: int) -> str:
    """``999 bytes``, ``30.1 kB``, ``12.2 MB``."""
    if size < 1000:
        return counted(size, "byte")
    return f"{size / 1e3:.1f} kB" if size < 999_950 else f"{size / 1e6:,.1f} MB"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` probably misspells, the first of those that are equally close.

    None if none is close ("cat" does not mean "car").
    """
    matcher = SequenceMatcher(b=word[:100])  # it compares for long with a long one

    def likeness(each: str) -> float:
        matcher.set_seq1(each)
        return matcher.ratio()

    close = max(known, key=likeness, default="")
    return close if likeness(close) >= 0.75 else None


def first_line(error: BaseException) -> str:
    """What an error of somebody else says, on one line."""
    return visible((str(error) or type(error).__name__).splitlines()[0])


def visible(text: str) -> str:
    """The text with line breaks and control characters replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _is_plain(value: Any) -> bool:
    return isinstance(value, Real | str | None)  # numbers of NumPy, too
