"""What a user may write for an option, judged and brought into the form that the code uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral

from yolo_max.support.errors import UsageError

DEVICES = ("auto", "cpu", "gpu")
MAX_IMGSZ = 8192
"""Pixels a side; the first feature maps of a canvas this large take gigabytes."""


def parse_imgsz(imgsz: int | Sequence[int], stride: int = 32) -> tuple[int, int]:
    """The canvas that an image size stands for.

    Args:
        imgsz: One side of a square, or (height, width), in pixels.
        stride: The network's largest; sides that are no multiple of it are rounded up, with a warning.

    Returns:
        (height, width) in pixels, multiples of ``stride``.

    Raises:
        UsageError: A side is not a whole number from ``stride`` to `MAX_IMGSZ`.
    """
    sides = tuple(imgsz) if isinstance(imgsz, list | tuple) else (imgsz, imgsz)
    if len(sides) != 2:
        raise UsageError(f"imgsz is {list(sides)}, but it must be one side in pixels, or height and width.")
    for side in sides:
        if isinstance(side, bool) or not isinstance(side, Integral) or not stride <= int(side) <= MAX_IMGSZ:
            raise UsageError(
                f"imgsz is {side!r}, but it must be a whole number from {stride} to {MAX_IMGSZ}."
            )
    height, width = (-(-int(side) // stride) * stride for side in sides)
    if (height, width) != sides:
        warnings.warn(
            f"imgsz {_size(*sides)} is not a multiple of {stride}; {_size(height, width)} is used.",
            stacklevel=3,
        )
    return height, width


def parse_device(device: str) -> str:
    """The device that a word stands for, those of PyTorch and Ultralytics included.

    Args:
        device: "auto", "cpu" or "gpu"; "gpu:0", "cuda", "cuda:0" and "0" are the GPU as well.

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
        f"there is no device {device!r}; take auto, cpu or gpu (0 and cuda:0 mean the GPU; only one is used)."
    )


def sides_of(text: str) -> int | list[int]:
    """An image size as the command line has it: one side, or HEIGHT,WIDTH.

    Raises:
        UsageError: It is something else.
    """
    try:
        numbers = [int(word) for word in text.replace("x", ",").split(",")]
    except ValueError:
        raise UsageError(f"imgsz is {text!r}, but it must be one side in pixels, or HEIGHT,WIDTH.") from None
    return numbers[0] if len(numbers) == 1 else numbers


def words_of(lists: Sequence[str]) -> list[str]:
    """The entries of comma-separated lists."""
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]


def _size(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}x{width}"


def parse_classes(
    classes: int | str | Iterable[int | str] | None, names: Mapping[int, str]
) -> tuple[int, ...] | None:
    """The class ids that a choice of classes stands for.

    Args:
        classes: One or several ids or names (upper and lower case are alike); None for all classes. A name
            made of digits is taken for an id, unless the model has a class of that name.
        names: The model's class names by id.

    Returns:
        Ascending ids, each once; None for all.

    Raises:
        UsageError: There is no such class, or the choice is empty.
    """
    if classes is None:
        return None
    if isinstance(classes, int | str):
        classes = (classes,)
    ids_by_name: dict[str, set[int]] = {}
    for class_id, name in names.items():
        ids_by_name.setdefault(name.casefold(), set()).add(class_id)
    chosen: set[int] = set()
    for wanted in classes:
        if isinstance(wanted, str):
            chosen |= ids_by_name.get(wanted.strip().casefold()) or {_class_id(wanted.strip(), names)}
        else:
            chosen.add(_class_id(str(wanted), names))
    if not chosen:
        raise UsageError("classes is empty, so nothing could be found; leave it out for all classes.")
    return tuple(sorted(chosen))


def _class_id(wanted: str, names: Mapping[int, str]) -> int:
    if wanted.lstrip("-").isdecimal():
        if int(wanted) in names:
            return int(wanted)
        raise UsageError(f"the model has no class {wanted}; its class ids run from 0 to {max(names)}.")
    known = {name.casefold(): name for name in names.values()}
    close = get_close_matches(wanted.casefold(), known, n=1)
    if close:
        raise UsageError(f"the model has no class {wanted!r}; did you mean {known[close[0]]!r}?")
    some = ", ".join(list(names.values())[:8]) + (", ..." if len(names) > 8 else "")
    raise UsageError(f"the model has no class {wanted!r}; it knows {some}.")
