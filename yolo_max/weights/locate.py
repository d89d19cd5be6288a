"""Finds a weights file: by its path, or by a name looked up here, in ./weights, the cache, the package."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from yolo_max.support.cache import cache_root
from yolo_max.support.errors import OutputError, UsageError, WeightsError
from yolo_max.support.plain_file import is_closed
from yolo_max.support.text import nearest, shorten

SUFFIXES = (".safetensors", ".pt")
BUNDLED = Path(__file__).with_name("bundled")
"""The weights that come with the package."""
_ALL, _TASKS = "nsmlx", ("", "-seg", "-pose", "-obb", "-cls")
_FAMILIES = (
    # a name without its size and its ending; its sizes; its endings
    ("yolo26{}{}", _ALL, (*_TASKS, "-distill", "-objv1-150", "-objv1-seg")),
    ("yolo11{}{}", _ALL, _TASKS),
    ("yolo12{}{}", _ALL, ("",)),
    ("yolov10{}{}", "nsmblx", ("",)),
    ("yolov9{}{}", "tsmce", ("",)),
    ("yolov9{}{}", "ce", ("-seg",)),
    ("yolov8{}{}", _ALL, (*_TASKS, "-oiv7")),
    ("yolov8{}{}", "x", ("-pose-p6",)),
    ("yolov5{}{}u", _ALL, ("", "6")),
    ("yolov3{}{}u", ("",), ("", "-spp", "-tiny")),
)
OFFICIAL = tuple(
    family.format(size, ending)
    for family, sizes, endings in _FAMILIES
    for ending in endings
    for size in sizes
)
"""Models that Ultralytics publishes and the port covers."""


OFFICIAL_IN_SHORT = ", ".join(dict.fromkeys(family.format("", "").rstrip("u") for family, *_ in _FAMILIES))
"""Their families: "yolo26, yolo11, ..."."""

_NOT_PORTED = {
    r"yolo26\w-sem(-ade20k)?": "a semantic segmentation network",
    r"yolo26\w-depth": "a depth estimation network",
    r"yolov8\w-world(v2)?|yoloe-.*": "an open-vocabulary network",
    r"rtdetr-\w": "a detection transformer",
    r"yolo_nas_\w": "a network of another library's, saved whole",
    r"(mobile_)?sam.*|FastSAM-\w": "a segmentation network that is prompted",
    r"yolo11n-grayscale": "a network for images of one channel",
}


def not_ported(stem: str) -> str | None:
    """What a model is that Ultralytics publishes and the port does not cover; None for any other name."""
    return next((kind for names, kind in _NOT_PORTED.items() if re.fullmatch(names, stem)), None)


def locate(spec: str | os.PathLike[str], suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Finds the file that ``spec`` means.

    Args:
        spec: A path; or a model's name, with or without suffix ("yolov8n", "yolov8n.pt"), looked up in the
            current folder, in ``./weights``, in the user's cache and in `BUNDLED`, in this order.
        suffixes: Suffixes to try for a name without one, the preferred one first.

    Returns:
        The file's path.

    Raises:
        WeightsError: There is none; the message says what was looked for, where, and what to do.
        UsageError: ``spec`` is not a path or a name.
    """
    if not isinstance(spec, str | os.PathLike):
        raise UsageError(f"weights are {shorten(spec)}, but they must be a path or a name.")
    path = _expanded(spec)
    is_name = path.name == str(spec)
    if _exists(path) and not (is_name and path.suffix not in SUFFIXES and path.is_dir()):
        return path
    if not is_name:
        raise WeightsError(f"there is no weights file {path}{_suggest(path.name, [path.parent])}.")
    folders = [Path(), Path("weights")]
    with contextlib.suppress(OutputError):  # no cache is available
        if not is_closed(cache := cache_root() / "weights"):
            folders.append(cache)
    searched = " or ".join(["this folder, ./weights", *map(str, folders[2:])])
    folders.append(BUNDLED)
    has_suffix = path.suffix in SUFFIXES
    for folder in folders:
        for name in [path.name] if has_suffix else [path.name + suffix for suffix in suffixes]:
            if _exists(folder / name):
                return folder / name
    for folder in folders if not has_suffix else []:
        for other in SUFFIXES:
            if _exists(there := folder / (path.name + other)):
                raise WeightsError(
                    f"{there} is {other} already; to convert a checkpoint, give the path of its .pt file."
                )
    stem = path.stem if has_suffix else path.name
    if stem in OFFICIAL:
        raise WeightsError(
            f"there are no weights named {path.name!r} in {searched}; "
            f"run `yolo-max weights fetch {stem}` to download them; "
            f"{' and '.join(sorted(_stems([BUNDLED])))}, trained on drawn shapes, need no download."
        )
    if kind := not_ported(stem):
        raise WeightsError(
            f"there are no weights named {path.name!r} in {searched}, and {kind} is not ported."
        )
    suggestion = _suggest(path.name, folders)
    if not suggestion and (close := _closest(stem, OFFICIAL)):
        raise WeightsError(
            f"there are no weights named {path.name!r} in {searched}; the official model of nearly that name "
            f"is {close}: run `yolo-max weights fetch {close}` to download it."
        )
    raise WeightsError(
        f"there are no weights named {path.name!r} in {searched}{suggestion}; "
        f"give the path of a {' or '.join(suffixes)} file."
    )


def names_at_hand() -> list[str]:
    """The names of the weights that are found by name, without a download."""
    folders = [Path("weights"), BUNDLED]
    with contextlib.suppress(OutputError):
        folders.append(cache_root() / "weights")
    return sorted(_stems(folders))


def _stems(folders: Iterable[Path]) -> set[str]:
    """The names of the weights files in folders."""
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            found |= {path.stem for path in folder.iterdir() if path.suffix in SUFFIXES}
    return found


def _expanded(spec: str | os.PathLike[str]) -> Path:
    try:
        return Path(spec).expanduser()
    except RuntimeError:  # the home of an unknown user
        return Path(spec)


def _exists(path: Path) -> bool:
    """Whether a path exists; one without permission counts, and reading it gives the error."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except OSError:  # a name too long for any file
        return False


def _suggest(name: str, folders: list[Path]) -> str:
    """A did-you-mean clause from the weights files in these folders, or ""."""
    return closest(Path(name).stem if Path(name).suffix in SUFFIXES else name, sorted(_stems(folders)))


def closest(name: str, known: Iterable[str]) -> str:
    """A did-you-mean clause, or "" where no known name is close."""
    close = _closest(name, known)
    return f" (did you mean {close}?)" if close else ""


def _closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant; None where none is close.

    ``yolov9`` is another network, not a misspelt ``yolov8``; ``-seg`` is another task.
    """
    family = _family(name)
    return nearest(name, [each for each in known if family in (None, _family(each))])


def _family(name: str) -> tuple[str, str | None] | None:
    """The YOLO version and the task in a name, or None."""
    match = re.match(r"yolov?(\d+)[a-z]?(?:-(cls|depth|obb|pose|sem|seg))?", name.lower())
    return match and (match[1], match[2])
