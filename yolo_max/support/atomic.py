"""Atomic writes: a file is whole or not there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from yolo_max.support.errors import OutputError

TEMPORARY_PREFIX = ".yolo-max-"
"""Starts the names of files being written; those left by a killed process may be deleted."""


def write_atomically(path: Path, data: bytes, *, sync: bool = False, mode: int = 0o666) -> None:
    """Writes a whole file or none, whatever interrupts it.

    The data goes into a temporary file in the same folder, which is then renamed into place; a link at
    ``path`` is replaced, never followed. Missing folders are created.

    Args:
        path: The file's path.
        data: Its whole content.
        sync: Whether to flush it to disk, so that it survives a power cut.
        mode: Its permissions, before the umask.

    Raises:
        OutputError: The file cannot be written; nothing is left behind.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        try:
            file = _create(temporary, mode)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _create(temporary, mode)
        try:
            with os.fdopen(file, "wb", 0) as stream:
                view = memoryview(data)
                while view:
                    view = view[stream.write(view) :]
                if sync:
                    os.fsync(file)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error for a path that could not be written."""
    return OutputError(f"{path} cannot be written: {error.strerror or error}.")


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
