"""A checkpoint's meta data as plain values: class names, input size, architecture table."""

from __future__ import annotations

from typing import Any

from yolo_max.model.architecture import MAX_CLASSES
from yolo_max.support.errors import WeightsError
from yolo_max.support.parse import MAX_IMGSZ
from yolo_max.support.text import shorten
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.tensors import Tensor
from yolo_max.weights.meta import MAX_NAME_LENGTH, MIN_IMGSZ

MAX_TABLE_VALUES = 50_000
DEFAULT_IMGSZ = 640


def saved_names(names: Any, nc: Any) -> Any:
    """Class names by Ultralytics' rules: numbers are allowed, and more names than classes."""
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not isinstance(nc, int) or len(names) < nc:
        return names
    chosen = {i: names.get(i, names.get(str(i))) for i in range(min(nc, MAX_CLASSES))}
    return {i: _class_name(name) for i, name in chosen.items()}


def _class_name(name: Any) -> Any:
    """A name as text, cut to `MAX_NAME_LENGTH`."""
    if isinstance(name, int | float):
        name = shorten(name)
    if isinstance(name, str) and len(name) > MAX_NAME_LENGTH:
        return name[: MAX_NAME_LENGTH - 1] + "…"
    return name


def input_size(content: Any, model: StandIn) -> int:
    """The input size it was trained for: the larger of two sides; Ultralytics' default if there is none."""
    arguments = [model.get("args"), content.get("train_args")]
    for group in (a.state if isinstance(a, StandIn) else a for a in arguments):
        sizes = numbers(group.get("imgsz")) if isinstance(group, dict) else ()
        if sizes and MIN_IMGSZ <= max(sizes) <= MAX_IMGSZ:
            return int(max(sizes))
    return DEFAULT_IMGSZ


def normalization(model: StandIn, imgsz: int) -> dict[str, tuple[float, ...]] | None:
    """The mean and deviation of a classifier's saved transforms; None for those of Ultralytics, 0 and 1.

    Raises:
        WeightsError: Ultralytics does not apply them to images of this size, or crops in another way; a
            sentence without its subject.
    """
    compose = model.get("transforms")
    steps = compose.get("transforms") if isinstance(compose, StandIn) else None
    parts = [step for step in steps if isinstance(step, StandIn)] if isinstance(steps, list | tuple) else []
    for part in parts:
        if part.kind != "Normalize":
            continue
        mean, std = numbers(part.get("mean")), numbers(part.get("std"))
        if not any(mean) and all(each == 1 for each in std):
            continue
        normalises = f"normalises images to mean {shorten(mean)} and deviation {shorten(std)}"
        first = parts[0]
        size = first.get("size", first)
        if size is first:  # Ultralytics applies them
            raise WeightsError(
                f"{normalises}, but its transforms begin with {shorten(first.kind)}, which has no size and "
                f"is not supported; save it with transforms that begin by resizing to {imgsz} pixels"
            )
        if set(numbers(size)) != {imgsz}:  # the resized side
            raise WeightsError(
                f"{normalises}, but is for images of {imgsz} pixels and resizes them to {shorten(size)}, so "
                "that Ultralytics leaves its transforms out; save it with transforms of its own size"
            )
        return {"mean": mean, "std": std}
    return None


def numbers(value: Any) -> tuple[float, ...]:
    """A tensor, a list or one number as a tuple of numbers; anything else as an empty one."""
    if isinstance(value, Tensor):
        value = value.tolist() if value.nbytes <= 512 else None
    items = value if isinstance(value, list | tuple) else (value,)
    return tuple(items) if all(isinstance(v, int | float) for v in items) else ()


def plain(value: Any) -> Any:
    """A copy that JSON can hold: dicts with string keys, lists, strings, numbers.

    Raises:
        WeightsError: It holds anything else, or too many values.
    """
    budget = MAX_TABLE_VALUES

    def copy(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1  # values may contain one another many times over
        if isinstance(value, int) and value.bit_length() > 64:  # Python does not write thousands of digits
            raise WeightsError(f"has {shorten(value)} in its architecture table")
        if isinstance(value, bool | int | float | str | None):
            return value
        if depth < 8 and budget > 0:
            if isinstance(value, list | tuple):
                return [copy(v, depth + 1) for v in value]
            if isinstance(value, dict) and all(isinstance(k, int | str) for k in value):
                return {str(copy(k, depth + 1)): copy(v, depth + 1) for k, v in value.items()}
        raise WeightsError(f"has {shorten(value)} in its architecture table")

    return copy(value, 0)
