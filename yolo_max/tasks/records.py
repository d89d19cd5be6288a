"""Reading records, whoever wrote them."""

from __future__ import annotations

from typing import Any

MAX_PIXELS = 2**31
"""No decoder gives a larger image."""


def read_size(value: Any) -> tuple[int, int]:
    """(height, width) in pixels, from its JSON form.

    Raises:
        ValueError, TypeError: It is not two sides of an image.
    """
    height, width = value
    if type(height) is not int or type(width) is not int or height < 1 or width < 1:
        raise ValueError(f"The record has a size of {height!r} x {width!r}, not of whole pixels.")
    if height * width > MAX_PIXELS:
        raise ValueError(f"The record has a size of {height} x {width}, more than {MAX_PIXELS:,} pixels.")
    return height, width
