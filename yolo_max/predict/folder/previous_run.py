"""A previous run in an output folder: what it is, whether a new one may begin there, and how to remove it.

A run is neither destroyed nor mixed with another unless the user says so, and files that no run lists are
never removed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any

from yolo_max.support.atomic import cannot_write
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.result_names import MANIFEST_FILE, RUN_FILE, SHARDS_FOLDER

Record = Mapping[str, Any]
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
"""``s3://bucket/key``, as a path."""


@dataclass(frozen=True)
class PreviousRun:
    """The contents of ``run.json``.

    Attributes:
        settings: What its results depend on, as plain JSON types.
        finished: Whether every image is done.
        tables: Its files that belong to no single image, relative to the folder.
        planned: The files that an unfinished run may have written. Its manifest lists only those of images
            that are done, and the process may have written others ahead of it.
        weights_file: The path of its weights, if it says so. No setting: what counts is what is in them.
    """

    settings: Mapping[str, Any]
    finished: bool
    tables: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    weights_file: str | None = None


def next_free(folder: Path) -> Path:
    """Makes an output folder: ``folder``, or the first free of ``folder-2``, ``folder-3``, ... (Ultralytics).

    Processes that ask at the same time get a folder each, so an existing one is not free even if it is empty.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for each in _numbered(folder):
            with suppress(FileExistsError):
                each.mkdir()
                return each
    except OSError as error:
        raise cannot_write(folder, error) from error
    raise AssertionError("there is always another number")


def is_free(folder: Path) -> bool:
    """Whether the folder does not exist or is empty."""
    return not folder.exists() or (folder.is_dir() and next(folder.iterdir(), None) is None)


def require_no_file(folder: Path) -> None:
    """Refuses a file, or an address, in place of an output folder.

    Raises:
        OutputError: It is one, or cannot be examined.
    """
    if _ADDRESS.match(str(folder)):
        raise OutputError(
            f"{folder} is an address, and results are written to folders; name one with --out, such as a "
            "mounted bucket, or copy the folder there afterwards."
        )
    try:
        is_file = folder.exists() and not folder.is_dir()
    except OSError as error:
        raise cannot_write(folder, error) from error
    if is_file:
        raise OutputError(f"{folder} is a file; name a folder with --out.")


def latest(folder: Path) -> Path:
    """The last of the folders from `next_free` that holds a run; ``folder`` itself if none does."""
    runs = [(1, folder)]
    for each in folder.parent.glob(f"{escape(folder.name)}-*"):
        number = each.name.removeprefix(f"{folder.name}-")
        if number.isdecimal() and (each / RUN_FILE).exists():
            runs.append((int(number), each))
    return max(runs)[1]


def require_harmless(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuses an output folder in which a run would do harm; changes nothing.

    Args:
        folder: It need not exist.
        resume: Whether the run that it holds will be resumed.
        overwrite: Whether the results of that run will be replaced.

    Raises:
        OutputError: It holds the results of a run, or files that are not results; or it is not a folder.
    """
    require_no_file(folder)
    if overwrite:
        return
    run = read_run(folder)
    try:
        if run is None and not is_free(folder):
            raise OutputError(
                f"{folder} holds files that are not results of yolo-max; choose a new or empty folder with "
                "--out, or use --overwrite to write beside them."
            )
    except OSError as error:
        raise cannot_write(folder, error) from error
    if not resume:
        require_no_results(folder)


def require_no_results(folder: Path) -> None:
    """Refuses a folder that holds the results of a run, finished or not.

    Raises:
        OutputError: It holds some.
    """
    run = read_run(folder)
    if run and run.finished:
        raise OutputError(
            f"{folder} holds the results of a finished run; choose another folder with --out, or use "
            "--overwrite to replace them."
        )
    if run and (next(read_lines(folder), None) or any((folder / SHARDS_FOLDER).glob("*"))):
        raise OutputError(
            f"{folder} holds an unfinished run; use --resume to finish it, or --overwrite to start again."
        )


def read_run(folder: Path) -> PreviousRun | None:
    """The run that a folder holds, or None.

    Raises:
        OutputError: Its ``run.json`` cannot be read, or is not that of a run.
    """
    path = folder / RUN_FILE
    try:
        run = json.loads(path.read_bytes())
        if isinstance(run["settings"], dict) and isinstance(run["finished"], bool):
            tables, planned = (tuple(map(str, run.get(key, ()))) for key in ("tables", "planned"))
            file = run.get("weights_file")
            file = file if isinstance(file, str) else None
            return PreviousRun(run["settings"], run["finished"], tables, planned, file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise OutputError(f"{path} was not written by yolo-max; choose another folder with --out.")


def sources_of(folder: Path) -> tuple[list[str], bool]:
    """The sources of the run that a folder holds, as they were given, and whether subfolders were read.

    Raises:
        UsageError: It holds no run, or one that does not say them.
    """
    run = read_run(folder)
    if run is None:
        raise UsageError(f"there is no run in {folder} to resume; name its folder with --out.")
    sources = run.settings.get("sources")
    if not sources or not isinstance(sources, list) or not all(isinstance(each, str) for each in sources):
        raise UsageError(f"the run in {folder} does not say what its sources were; give them.")
    return sources, run.settings.get("recursive") is True


def weights_of(folder: Path) -> str | None:
    """The path of the weights of the run that a folder holds; None without a run, or if it does not say."""
    run = read_run(folder)
    return run.weights_file if run else None


def read_lines(folder: Path) -> Iterator[tuple[Record, int]]:
    """Reads the lines of a folder's manifest.

    Yields:
        The record of each line and the offset of the line's end, in bytes; up to the first damaged line.

    Raises:
        OutputError: It cannot be read.
    """
    path, end = folder / MANIFEST_FILE, 0
    try:
        with path.open("rb") as lines:
            for line in lines:
                record = _decode(line)
                if record is None:
                    return
                end += len(line)
                yield record, end
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error


def results_of(folder: Path) -> set[Path]:
    """The files that the run in a folder lists, whether they exist or not, without manifest and ``run.json``.

    Paths that lead outside the folder are ignored.

    Raises:
        OutputError: The lists cannot be read.
    """
    run = read_run(folder)
    if run is None:
        return set()
    listed = {*run.tables, *run.planned}
    for record, _ in read_lines(folder):
        listed |= {
            record[key]
            for key in ("annotated", "thumbnail", "labels", "video")
            if isinstance(record.get(key), str)
        }
        crops = record.get("crops")
        listed |= {each for each in crops if isinstance(each, str)} if isinstance(crops, list) else set()
    root = os.path.realpath(folder)
    named = (folder / name for name in listed if "\0" not in name)
    return {path for path in named if Path(os.path.realpath(path.parent)).is_relative_to(root)}


def holds_file(path: Path) -> bool:
    """Whether there is something at a path that a file would replace: anything but a folder."""
    # Not by methods of the path, which raise for one that is too long.
    return os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path))  # noqa: PTH112, PTH114


def remove_results(folder: Path) -> None:
    """Removes `results_of` a folder, and subfolders that become empty.

    Raises:
        OutputError: A file cannot be removed.
    """
    parents = set()
    for path in results_of(folder):
        if not holds_file(path):
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror or error}.") from error
        parents |= {each for each in path.parents if each.is_relative_to(folder) and each != folder}
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # not empty
            parent.rmdir()


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _decode(line: bytes) -> Record | None:
    """The record of a line; None if it is damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("path"), str) else None
