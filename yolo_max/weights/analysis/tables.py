"""Architecture tables in YAML: found by Ultralytics' rules, read as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from yolo_max.support.errors import WeightsError
from yolo_max.support.plain_file import reason
from yolo_max.support.text import nearest
from yolo_max.support.yaml_file import read_yaml
from yolo_max.weights.checkpoint.metadata import plain

SUFFIXES = (".yaml", ".yml")
_SIZED = re.compile(r"(\d+)([nslmx])(.+)?$")
_UNSIZED = re.compile(r"(?<=yolo)(v?\d+|e-v?\d+)(?=[-.])")
_SIZE = re.compile(r"yolo(?:e-)?v?\d+([nslmx])")
_P6 = re.compile(r"yolov[58][nsmlx]6")


def is_table(spec: str) -> bool:
    """Whether a name is that of a YAML."""
    return Path(spec).suffix.lower() in SUFFIXES


def read_table(spec: str) -> tuple[Path, dict[str, Any]]:
    """Reads a table; the size in its name chooses the scale, as in ``yolo11x-seg.yaml``.

    Args:
        spec: A file; or the name of one, with or without a size, that comes with the installed Ultralytics.

    Returns:
        The file, and the table with its ``scale``.

    Raises:
        WeightsError: There is no such file, or it is not a table.
    """
    wanted = Path(spec)
    if _P6.fullmatch(wanted.stem):
        wanted = wanted.with_name(f"{wanted.stem[:-1]}-p6{wanted.suffix}")
    path = next(filter(Path.exists, _candidates(wanted)), None)
    if path is None:
        close = nearest(wanted.name, official())
        instead = f"did you mean {close}?" if close else "give its path, or the name of one of Ultralytics'."
        raise WeightsError(f"there is no file {spec}; {instead}")
    try:
        table = plain(read_yaml(path))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {reason(error)}.") from error
    except (WeightsError, ValueError) as error:
        raise WeightsError(f"{path} {error}.") from error
    if not isinstance(table, dict) or "backbone" not in table:
        raise WeightsError(
            f"{path} does not describe a network; it needs lists of layers, backbone and head."
        )
    size = _SIZE.search(wanted.stem)
    return path, {**table, "scale": size[1] if size else ""}


def official() -> set[str]:
    """The names that Ultralytics' own tables go by: each alone, and in every size."""
    names = [path.name for path in shipped()]
    return {*names, *(_UNSIZED.sub(rf"\g<1>{size}", name) for name in names for size in "nsmlx")}


@cache
def shipped() -> tuple[Path, ...]:
    """The tables that come with the installed Ultralytics, which is not imported."""
    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        return ()
    return tuple(sorted(Path(spec.origin).with_name("cfg").joinpath("models").rglob("*.yaml")))


def _candidates(path: Path) -> Iterator[Path]:
    """The files that a name may mean, the preferred one first."""
    unsized = _SIZED.sub(r"\1\3", path.name)
    names = [path.name, unsized, unsized.replace("yolov5u", "yolov5")]
    yield from (path.with_name(name) for name in names)
    if path.name == str(path):
        yield from (each for name in names for each in shipped() if each.name == name)
