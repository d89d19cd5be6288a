"""Finding a weights file: a path is a path; a name is looked up here, in ./weights, then in the cache."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from yolo_max.support.cache import cache_root
from yolo_max.support.errors import OutputError, WeightsError

SUFFIXES = (".safetensors", ".pt")
OFFICIAL = tuple(f"yolov8{size}{kind}" for kind in ("", "-oiv7") for size in "nsmlx")
"""Detection models of YOLOv8 that Ultralytics publishes."""


def locate(spec: str | os.PathLike[str], suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Finds the file that ``spec`` means.

    Args:
        spec: A path; or the name of a model, with or without suffix ("yolov8n", "yolov8n.pt"), that is a
            file in the current folder, in ``./weights`` or in the user's cache: the first that has one.
        suffixes: What a name without suffix may stand for, the preferred one first.

    Returns:
        Its path.

    Raises:
        WeightsError: There is none; the message says what was looked for, where, and what to do.
    """
    path = _expanded(spec)
    is_name = path.name == str(spec)
    if _exists(path) and not (is_name and path.suffix not in SUFFIXES and path.is_dir()):
        return path
    if not is_name:
        raise WeightsError(f"there is no weights file {path}{_suggest(path.name, [path.parent])}.")
    folders = [Path(), Path("weights")]
    with contextlib.suppress(OutputError):  # then there is no cache to look in
        folders.append(cache_root() / "weights")
    has_suffix = path.suffix in SUFFIXES
    for folder in folders:
        for name in [path.name] if has_suffix else [path.name + suffix for suffix in suffixes]:
            if _exists(folder / name):
                return folder / name
    stem = path.stem if has_suffix else path.name
    searched = " or ".join(["this folder, ./weights", *map(str, folders[2:])])
    if stem in OFFICIAL:
        raise WeightsError(
            f"there are no weights named {path.name!r} in {searched}; "
            f"run `yolo-max weights fetch {stem}` to download them."
        )
    raise WeightsError(
        f"there are no weights named {path.name!r} in {searched}{_suggest(path.name, folders)}; "
        f"give the path of a {' or '.join(suffixes)} file."
    )


def _expanded(spec: str | os.PathLike[str]) -> Path:
    try:
        return Path(spec).expanduser()
    except RuntimeError:  # the home of a user that there is not
        return Path(spec)


def _exists(path: Path) -> bool:
    """Whether there is something; what may not be looked at is, and says so when it is read."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except OSError:  # a name too long for any file
        return False


def _suggest(name: str, folders: list[Path]) -> str:
    """A did-you-mean clause from the weights files at hand and the official names, or nothing."""
    known = list(OFFICIAL)
    for folder in folders:
        with contextlib.suppress(OSError):
            known += [path.stem for path in folder.iterdir() if path.suffix in SUFFIXES]
    return closest(Path(name).stem if Path(name).suffix in SUFFIXES else name, known)


def closest(name: str, known: Iterable[str]) -> str:
    """A did-you-mean clause, or nothing where no known name comes close.

    ``yolov9`` is no slip of the pen for ``yolov8``, but another network.
    """
    family = _family(name)
    known = [each for each in known if family in (None, _family(each))]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _family(name: str) -> str | None:
    """Which YOLO a name says it is; None if it does not say."""
    match = re.match(r"yolov?(\d+)", name.lower())
    return match and match[1]
