"""Modules and shapes as they are named on the command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from yolo_max.convert.signature import Shape
from yolo_max.support.errors import UsageError
from yolo_max.support.text import abridge, first_line, shorten


def make_module(name: str) -> torch.nn.Module:
    """The module of ``package.module:Factory``, in evaluation mode.

    Args:
        name: A Python module, looked up in the working directory too, and in it a class or function that is
            called without arguments, or a ``torch.nn.Module``.

    Raises:
        UsageError: There is no such factory, it raises something, or it makes something else.
    """
    place, _, path = name.partition(":")
    if not place or not path:
        raise UsageError(f"{shorten(name)} names no module; use package.module:Factory.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise UsageError(f"{place} cannot be imported, as there is no module {error.name}.") from error
    except Exception as error:  # whatever the code of others raises
        raise UsageError(f"{place} cannot be imported; it raised {_said(error)}") from error
    for each in path.split("."):
        if not hasattr(found, each):
            raise UsageError(f"{place} has no {path}; name a class or a function in it.")
        found = getattr(found, each)
    try:
        made = found if isinstance(found, torch.nn.Module) else found() if callable(found) else found
    except Exception as error:
        raise UsageError(
            f"{name} makes no module when it is called without arguments; it raised {_said(error)}"
        ) from error
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{name} gives {type(made).__name__}, and not a torch.nn.Module.")
    return made.eval()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {abridge(first_line(error), 200)}"


def parse_sized(texts: Sequence[str]) -> tuple[tuple[Shape, ...], dict[str, int]]:
    """Shapes, and the sizes of the names in them: ``batch=8,20``.

    Raises:
        UsageError: As :func:`parse_shape`; or a name has no size, or two.
    """
    sizes: dict[str, int] = {}
    shapes = []
    for text in texts:
        pairs = [part.partition("=") for part in text.split(",")]
        shapes.append(parse_shape(",".join(name for name, _, _ in pairs)))
        for name, equals, size in ((name.strip(), equals, size.strip()) for name, equals, size in pairs):
            if equals and not (size.isdecimal() and int(size) > 0 and name.isidentifier()):
                raise UsageError(f"{shorten(text)} is no shape; use batch=8,20 for a size that has a name.")
            if equals and sizes.setdefault(name, int(size)) != int(size):
                raise UsageError(f"{name} is {sizes[name]} and {size}; give it one size.")
    for size in (size for shape in shapes for size in shape if isinstance(size, str)):
        if size not in sizes:
            raise UsageError(f"{size} has no size to be measured at; use {size}=1, for instance.")
    return tuple(shapes), sizes


def parse_shape(text: str) -> Shape:
    """``1,3,224,224`` or ``batch,3,height,width``.

    Raises:
        UsageError: A size is neither a positive integer nor a name.
    """
    sizes: list[int | str] = []
    for size in text.split(","):
        part = size.strip()
        if not part.isidentifier() and not (part.isdecimal() and int(part) > 0):
            raise UsageError(f"{shorten(text)} is no shape; use 1,3,224,224, or names for symbolic sizes.")
        sizes.append(int(part) if part.isdecimal() else part)
    return tuple(sizes)
