"""Folders and what lies in them, whatever links and permissions do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from yolo_max.support.result_names import COMPARISON_FILE, MANIFEST_FILE, REPORT_FILE, RUN_FILE


def in_order(folder: Path) -> list[Path]:
    """The entries of a folder, by name.

    Raises:
        OSError: It cannot be listed.
    """
    return sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))


def identity(path: Path) -> tuple[int, int]:
    """Device and inode.

    Raises:
        OSError: There is no such file.
    """
    status = path.stat()
    return status.st_dev, status.st_ino


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder, as far as one can see."""
    with suppress(OSError):  # its folder may be listed, but not entered
        return is_listed_folder(path)
    return False


def is_listed_folder(path: Path) -> bool:
    """Whether an entry of a folder is a folder; a link whose target is impossible is not.

    Raises:
        OSError: The entry itself cannot be reached.
    """
    try:
        return path.is_dir()
    except OSError:
        path.lstat()
        return False


def are_results(inside: Iterable[Path]) -> bool:
    """Whether a folder with these entries was written by a run or by a comparison."""
    names = {path.name for path in inside}
    return {RUN_FILE, MANIFEST_FILE} <= names or {COMPARISON_FILE, REPORT_FILE} <= names
