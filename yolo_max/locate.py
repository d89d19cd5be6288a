"""Finding a weights file: a path is a path; a name is looked up in ./weights, then in the user's cache."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from yolo_max.cache import cache_root
from yolo_max.errors import WeightsError

SUFFIXES = (".safetensors", ".pt")
OFFICIAL = tuple(f"yolov8{size}{kind}" for kind in ("", "-oiv7") for size in "nsmlx")
"""Detection models of YOLOv8 that Ultralytics publishes."""


def locate(spec: str | os.PathLike[str]) -> Path:
    """Finds the file that ``spec`` means.

    Args:
        spec: A path; or the name of a model, with or without suffix ("yolov8n", "yolov8n.pt"), that is a
            file in ``./weights`` or in the user's cache.

    Returns:
        Its path.

    Raises:
        WeightsError: There is none; the message says what was looked for, where, and what to do.
    """
    path = Path(spec).expanduser()
    is_name = path.name == str(spec)
    if path.exists() and not (is_name and path.suffix not in SUFFIXES and path.is_dir()):
        return path
    if not is_name:
        raise WeightsError(f"there is no weights file {path}{_suggest(path.name, [path.parent])}.")
    for folder in _folders():
        for candidate in _candidates(folder, path.name):
            if candidate.is_file():
                return candidate
    stem = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    searched = " or ".join(str(folder) for folder in _folders())
    advice = (
        f"run `yolo-max weights fetch {stem}` to download it"
        if stem in OFFICIAL
        else "give the path of a .safetensors or .pt file"
    )
    raise WeightsError(
        f"there are no weights named {path.name!r} in {searched}"
        f"{_suggest(stem, _folders()) if stem not in OFFICIAL else ''}; {advice}."
    )


def _folders() -> list[Path]:
    return [Path("weights"), cache_root() / "weights"]


def _candidates(folder: Path, name: str) -> list[Path]:
    if Path(name).suffix in SUFFIXES:
        return [folder / name]
    return [folder / f"{name}{suffix}" for suffix in SUFFIXES]


def _suggest(name: str, folders: list[Path]) -> str:
    """A did-you-mean clause from the weights files at hand and the official names, or nothing."""
    known = list(OFFICIAL)
    for folder in folders:
        if folder.is_dir():
            known += [path.stem for path in folder.iterdir() if path.suffix in SUFFIXES]
    return closest(Path(name).stem if Path(name).suffix in SUFFIXES else name, known)


def closest(name: str, known: Iterable[str]) -> str:
    """A did-you-mean clause, or nothing where no known name comes close."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
