"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from yolo_max.support.errors import OutputError

TEMPORARY_PREFIX = ".yolo-max-"
"""Of the files that are being written; what a killed process leaves of them may be deleted."""


def write_atomically(path: Path, data: bytes, *, sync: bool = False, mode: int = 0o666) -> None:
    """Writes a file that is either there whole or not at all, whatever happens meanwhile.

    The data goes into a file beside it that is then renamed into place, so that a link that lies there is
    replaced and never written through. Missing folders are made.

    Args:
        path: Where the file shall be.
        data: All of its content.
        sync: Whether to wait until the disk has it, so that it outlives a power cut.
        mode: Its permissions, before the umask.

    Raises:
        OutputError: It cannot be written; nothing is left behind.
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
    """The error of a path that could not be written."""
    return OutputError(f"{path} cannot be written: {error.strerror or error}.")


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
