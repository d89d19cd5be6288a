"""What matches a pattern of names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from yolo_max.images.folders import are_results, in_order, is_folder
from yolo_max.images.source import SourceFailure, SourceSkipped, failure

RESULTS = "the results of earlier runs are not sources unless their folder is named"
Match = Path | SourceFailure | SourceSkipped


def matches(folder: Path, parts: Sequence[str]) -> Iterator[Match]:
    """What matches a pattern below a folder; unlike `glob.glob`, it reports what it could not read.

    Args:
        folder: Where to begin.
        parts: A name or pattern for each level below; ``**`` is a folder and all folders below it.

    Yields:
        Files and folders, folders that cannot be read, and results of earlier runs, which ``**`` leaves out.
    """
    part, rest = parts[0], parts[1:]
    found: Iterator[Match]
    if part == "**":
        found = _tree(folder)
    elif glob.has_magic(part):
        found = _matching(folder, part)
    else:
        found = iter([folder / part] if os.path.lexists(folder / part) else [])
    for match in found:
        if rest and isinstance(match, Path):
            yield from matches(match, rest)
        else:
            yield match


def _tree(root: Path) -> Iterator[Match]:
    """A folder and the folders below it, except hidden ones, links and results."""
    waiting: list[Path | SourceFailure] = [root]
    while waiting:
        folder = waiting.pop()
        if isinstance(folder, SourceFailure):
            yield folder
            continue
        inside = list(_matching(folder, "*"))
        if folder != root and are_results(each for each in inside if isinstance(each, Path)):
            yield SourceSkipped(folder, RESULTS)
            continue
        yield folder
        waiting += [
            entry
            for entry in reversed(inside)
            if isinstance(entry, SourceFailure) or (is_folder(entry) and not entry.is_symlink())
        ]


def _matching(folder: Path, pattern: str) -> Iterator[Path | SourceFailure]:
    """The entries of a folder with matching names; hidden ones if the pattern begins with a dot."""
    if not is_folder(folder):
        return
    try:
        entries = in_order(folder)
    except OSError as error:
        yield failure(folder, error)
        return
    for path in entries:
        if fnmatchcase(path.name, pattern) and (pattern.startswith(".") or not path.name.startswith(".")):
            yield path
