"""Option values as users write them, checked and converted to what the code uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from yolo_max.support.errors import UsageError
from yolo_max.support.text import nearest, shorten

DEVICES = ("auto", "cpu", "gpu")
MAX_DIGITS = 1000
"""Characters of a class id; Python converts no text of more than 4300."""
MAX_IMGSZ = 8192
"""Pixels per side; the first feature maps of a canvas this large take gigabytes."""


def parse_imgsz(imgsz: int | Sequence[int], stride: int = 32) -> tuple[int, int]:
    """The canvas for an image size.

    Args:
        imgsz: One side of a square, or (height, width), in pixels.
        stride: The network's largest; other sides are rounded up to a multiple of it, with a warning.

    Returns:
        (height, width) in pixels, multiples of ``stride``.

    Raises:
        UsageError: A side is not a whole number from ``stride`` to `MAX_IMGSZ`.
    """
    sides = tuple(imgsz) if isinstance(imgsz, list | tuple) else (imgsz, imgsz)
    if len(sides) != 2:
        raise UsageError(
            f"imgsz is {shorten(list(sides))}, but it must be one side in pixels, or height and width."
        )
    for side in sides:
        if isinstance(side, bool) or not isinstance(side, Integral) or not stride <= int(side) <= MAX_IMGSZ:
            raise UsageError(
                f"imgsz is {shorten(side)}, but it must be a whole number from {stride} to {MAX_IMGSZ}."
            )
    height, width = (-(-int(side) // stride) * stride for side in sides)
    if (height, width) != sides:
        warnings.warn(
            f"imgsz {_size(*sides)} is not a multiple of {stride}; {_size(height, width)} is used.",
            stacklevel=3,
        )
    return height, width


def parse_device(device: str) -> str:
    """The device for a name, including those of PyTorch and Ultralytics.

    Args:
        device: "auto", "cpu" or "gpu"; "gpu:0", "cuda", "cuda:0" and "0" also mean the GPU.

    Returns:
        "auto", "cpu" or "gpu".

    Raises:
        UsageError: There is no such device.
    """
    word = device.strip().lower()
    if word in DEVICES:
        return word
    if word in ("0", "cuda", "cuda:0", "gpu:0"):
        return "gpu"
    raise UsageError(
        f"there is no device {shorten(device)}; use auto, cpu or gpu "
        "(0 and cuda:0 mean the GPU; only one is used)."
    )


def sides_of(text: str) -> int | list[int]:
    """An image size from the command line: one side, or HEIGHT,WIDTH.

    Raises:
        UsageError: It is neither.
    """
    try:
        numbers = [int(word) for word in text.replace("x", ",").split(",")]
    except ValueError:
        raise UsageError(
            f"imgsz is {shorten(text)}, but it must be one side in pixels, or HEIGHT,WIDTH."
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def words_of(lists: Sequence[str]) -> list[str]:
    """The entries of comma-separated lists."""
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]


def _size(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}x{width}"


def parse_classes(
    classes: int | str | Iterable[int | str] | None, names: Mapping[int, str]
) -> tuple[int, ...] | None:
    """The class ids for a selection of classes.

    Args:
        classes: One or more ids or names (case is ignored); None for all classes. A name made of digits is
            an id, unless the model has a class with that name.
        names: The model's class names by id.

    Returns:
        Unique ids in ascending order; None for all.

    Raises:
        UsageError: There is no such class, or the selection is empty.
    """
    if classes is None:
        return None
    if isinstance(classes, int | str):
        classes = (classes,)
    try:
        entries = list(classes)
    except TypeError:
        raise UsageError(f"classes is {shorten(classes)}, but it must be one or more ids or names.") from None
    ids_by_name: dict[str, set[int]] = {}
    for class_id, name in names.items():
        ids_by_name.setdefault(name.casefold(), set()).add(class_id)
    chosen: set[int] = set()
    wanted: Any
    for wanted in entries:
        if isinstance(wanted, str):
            chosen |= ids_by_name.get(wanted.strip().casefold()) or {_class_id(wanted.strip(), names)}
        elif isinstance(wanted, bool) or not isinstance(wanted, Integral):
            raise UsageError(f"classes has {shorten(wanted)}, but it must be one or more ids or names.")
        else:
            chosen.add(_known_id(int(wanted), names))
    if not chosen:
        raise UsageError("classes is empty, so nothing could be found; leave it out for all classes.")
    return tuple(sorted(chosen))


def _class_id(wanted: str, names: Mapping[int, str]) -> int:
    if wanted.lstrip("-").isdecimal() and len(wanted) < MAX_DIGITS:
        return _known_id(int(wanted), names)
    known = {name.casefold(): name for name in names.values()}
    if close := nearest(wanted.casefold(), known):
        raise UsageError(f"the model has no class {shorten(wanted)}; did you mean {known[close]!r}?")
    some = ", ".join(list(names.values())[:8]) + (", ..." if len(names) > 8 else "")
    raise UsageError(f"the model has no class {shorten(wanted)}; it knows {some}.")


def _known_id(wanted: int, names: Mapping[int, str]) -> int:
    if wanted in names:
        return wanted
    raise UsageError(f"the model has no class {shorten(wanted)}; its class ids run from 0 to {max(names)}.")
