"""Files of a user, read only if they are regular files of a sensible size, and folders that are closed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 2**30


def read_plain_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a regular file; never waits on a pipe or a device.

    Args:
        path: The file.
        max_bytes: Max size of the file.

    Raises:
        OSError: It cannot be read, is not a regular file, or is too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than {max_bytes:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def is_closed(folder: Path) -> bool:
    """Whether this user may not even look into a folder: it is another's, or root's after ``sudo -u``."""
    try:
        (folder / "any").stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def reason(error: OSError) -> str:
    """Why a file cannot be read, in words."""
    return str(error.strerror or error)
