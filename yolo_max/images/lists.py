"""Lists of sources: a ``.txt``, ``.csv`` or ``.streams`` file, and what comes through the standard input."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import BinaryIO

from yolo_max.images.header import SIGNATURE_BYTES, require_signature
from yolo_max.images.read import MAX_FILE_BYTES
from yolo_max.support.errors import ImageError, SourceError
from yolo_max.support.plain_file import read_plain_file, reason

STREAMS_SUFFIX = ".streams"
"""Of a list whose streams are read at the same time."""
LIST_SUFFIXES = (".txt", ".csv", STREAMS_SUFFIX)
STDIN = "-"
MAX_LIST_BYTES = 2**28
_COLUMNS = ("source", "path", "image", "file", "filename", "file_name")
"""What the column of the sources is called in a table; Ultralytics knows the first."""


def is_list(source: str) -> bool:
    """Whether a named source is a list of sources, as to `yolo`."""
    path = Path(source)
    return path.suffix.lower() in LIST_SUFFIXES and os.path.isfile(source)  # noqa: PTH113


def read_list(source: str) -> list[str]:
    """The sources in a list: one per line, or per cell of a ``.csv``, as to Ultralytics.

    Where the first row of a ``.csv`` names one of its columns as in `_COLUMNS`, that column has them.

    A line that begins with a ``#`` is a comment, unless it, or its first cell, is a path that exists.

    Args:
        source: The path of the list.

    Returns:
        Paths and globs. One that does not exist as it is written is relative to the list's folder.

    Raises:
        SourceError: The list cannot be read, or names nothing.
    """
    path = Path(source)
    try:
        text = os.fsdecode(read_plain_file(path, MAX_LIST_BYTES).removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise SourceError(f"{source} cannot be read as a list of images: {reason(error)}.") from error
    lines = [line for line in text.splitlines() if line.strip() and not _is_comment(path, line)]
    if path.suffix.lower() == ".csv":
        try:
            rows = list(csv.reader(lines))
        except csv.Error as error:
            raise SourceError(f"{source} cannot be read as a list of images: {error}.") from error
        lines = _cells(path, rows)
    entries = [_resolved(path, line.strip()) for line in lines if line.strip()]
    if not entries:
        raise SourceError(f"{source} is an empty list; write one path on each line.")
    return entries


def _cells(path: Path, rows: list[list[str]]) -> list[str]:
    """The cells of a table that are sources."""
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = [i for i, cell in enumerate(header) if cell in _COLUMNS]
    if len(columns) == 1 and not any(os.path.lexists(_resolved(path, cell)) for cell in rows[0] if cell):
        return [cell for row in rows[1:] for cell in row[columns[0] : columns[0] + 1]]
    return [cell for row in rows for cell in row]


def _is_comment(path: Path, line: str) -> bool:
    entry = (line.partition(",")[0] if path.suffix.lower() == ".csv" else line).strip()
    return entry.startswith("#") and not os.path.lexists(_resolved(path, entry))


def _resolved(path: Path, entry: str) -> str:
    """The entry as the folder of its list has it, where nothing of this name is in the working directory."""
    beside = str(path.parent / entry)
    return beside if not os.path.lexists(entry) and os.path.lexists(beside) else entry


_VIDEO_SIGNATURES = ((b"ftyp", 4), (b"\x1aE\xdf\xa3", 0), (b"AVI ", 8), (b"FLV\x01", 0))
"""How MP4, Matroska, AVI and Flash videos begin, and at which byte."""


def read_stdin(stream: BinaryIO) -> bytes | list[str]:
    """What comes through the standard input.

    Args:
        stream: It.

    Returns:
        The bytes of one image; or paths and globs, one per line, or ending in NUL (``find -print0``). Lines
        may be comments, as in `read_list`.

    Raises:
        SourceError: It is neither.
    """
    if stream.isatty():
        raise SourceError("nothing comes through the standard input; pipe an image or paths into it.")
    data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise SourceError(f"the standard input has more than the {MAX_FILE_BYTES:,} bytes of an image.")
    try:
        require_signature(data[:SIGNATURE_BYTES])
    except ImageError as error:
        if any(data.startswith(signature, begin) for signature, begin in _VIDEO_SIGNATURES):
            message = "a video comes through the standard input, which takes images and paths; name its file."
            raise SourceError(message) from error
        if b"\0" in data:
            entries = [os.fsdecode(each).strip() for each in data.split(b"\0")]
        else:
            lines = (os.fsdecode(each).strip() for each in data.split(b"\n"))
            entries = [line for line in lines if not _is_comment(Path(STDIN), line)]
        entries = [entry for entry in entries if entry]
        if not entries or not all(len(entry) < 4096 and entry.isprintable() for entry in entries[:1]):
            raise SourceError(f"the standard input is neither an image nor paths: {error}.") from error
        return entries
    return data
