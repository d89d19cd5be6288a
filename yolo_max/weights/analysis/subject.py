"""What is analyzed: a table, and what its file says beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_max.support.errors import WeightsError
from yolo_max.weights.analysis import tables
from yolo_max.weights.checkpoint import signature
from yolo_max.weights.load import errors_of, load_weights, read_file
from yolo_max.weights.locate import locate


@dataclass(frozen=True)
class Subject:
    """A network as its file describes it.

    Attributes:
        path: The file.
        table: Its architecture table, of plain values, unchecked.
        has_norm: Whether the file has a BatchNorm behind the convolution of a name.
        parameters: Those of each layer, by its index; None if the file does not have them.
        task: In the file's own words; None if it does not say.
        refusal: Why the file cannot be loaded, whatever its layers; "" if it can, or holds a table only.
    """

    path: Path
    table: Mapping[str, Any]
    has_norm: Callable[[str], bool]
    parameters: Mapping[int, int] | None = None
    task: str | None = None
    refusal: str = ""


def read_subject(spec: str) -> Subject:
    """Reads a file; nothing of it runs.

    Args:
        spec: A table, `.yaml`, as `tables.read_table` takes it; or weights, as `load_weights` takes them, but
            of any network.

    Raises:
        WeightsError: There is no such file, or it is damaged, unsafe, or describes no network.
    """
    if tables.is_table(spec):
        path, table = tables.read_table(spec)
        return Subject(path, table, lambda name: name.endswith(".conv"))
    path = locate(spec)
    data = read_file(path)
    if not signature.is_checkpoint(data):
        meta = load_weights(path).meta
        return Subject(path, {**meta.architecture, "nc": meta.nc}, lambda _: False, task=meta.task)
    from yolo_max.weights.checkpoint.outline import read_outline

    with errors_of(path):
        outline = read_outline(data)
    return Subject(
        path,
        outline.table,
        lambda name: f"{name.removesuffix('conv')}bn" in outline.modules,
        outline.parameters,
        outline.task,
        _refusal(data, path),
    )


def _refusal(data: bytes, path: Path) -> str:
    from yolo_max.weights.checkpoint.read import read_checkpoint

    try:
        read_checkpoint(data, path.name)
    except WeightsError as error:
        return str(error)
    return ""
