"""Atomic writes: a file is whole or not there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from yolo_max.support.errors import OutputError

TEMPORARY_PREFIX = ".yolo-max-"
"""Starts the names of files being written; those left by a killed process may be deleted."""


def temporary_name() -> str:
    """A name for a file that is being written."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


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
    try:
        try:
            replace_file(path, data, sync=sync, mode=mode)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data, sync=sync, mode=mode)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_file(
    path: str | Path, data: bytes, *, sync: bool = False, mode: int = 0o666, dir_fd: int | None = None
) -> None:
    """As `write_atomically`, in a folder that exists.

    Args:
        path: Where the file shall be.
        data: All of its content.
        sync: Whether to wait until the disk has it.
        mode: Its permissions, before the umask.
        dir_fd: An open folder that ``path`` is relative to; the working directory when absent.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    temporary = Path(path).with_name(temporary_name())
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    try:
        with os.fdopen(file, "wb", 0) as stream:
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]
            if sync:
                os.fsync(file)
        os.replace(temporary, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=dir_fd)
        raise


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error for a path that could not be written."""
    return OutputError(f"{path} cannot be written: {error.strerror or error}.")
