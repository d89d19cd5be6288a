"""Untrusted values in error messages: short, on one line, and never endless."""

from __future__ import annotations

from typing import Any

import pytest

from yolo_max.support.text import abridge, file_size, shorten, some


class Hostile:
    def __repr__(self) -> str:
        raise AssertionError("must not be asked")


def laughs() -> Any:
    value: Any = "ha"
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (3, "3"),
        (float("nan"), "nan"),
        ("a\n\x1b[2J", r"'a\n\x1b[2J'"),  # nothing that steers a terminal
        ([1, "a", None], "[1, 'a', None]"),
        ((31,), "(31,)"),
        ((), "()"),
        ([[1], {}], "[…, …]"),  # not looked into
        ({"a": 1}, "a dict"),
        (Hostile(), "a Hostile"),
        ([Hostile()], "[…]"),
        (10**5000, "a huge int"),
        (laughs(), "[…, …]"),
        ("x" * 10**7, "'" + "x" * 58 + "…"),
        ([7] * 10**6, "[" + "7, " * 19 + "7" + "…"),
    ],
    ids=range(15),
)
def test_shorten(value: Any, text: str) -> None:
    assert shorten(value) == text
    assert len(shorten(value)) <= 60


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a" * 10, "a" * 10), ("/a" * 5000 + " is cut", "/a/a…s cut"), ("", "")],
)
def test_abridge(text: str, expected: str) -> None:
    assert abridge(text, 10) == expected


def test_some() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert some(["a\n\x1b[2J"]) == "a��[2J"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),  # not 1000.0 kB
        (12_345_678_901, "12,345.7 MB"),
    ],
)
def test_the_size_of_a_file_is_never_rounded_to_nothing(size: int, text: str) -> None:
    assert file_size(size) == text
