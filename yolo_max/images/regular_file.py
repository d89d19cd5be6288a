"""Opens files of others, if they are regular ones."""

from __future__ import annotations

import os
import stat
from io import FileIO

from yolo_max.support.errors import ImageError


def regular_file(path: str | os.PathLike[str], max_bytes: int | None = None) -> FileIO:
    """Opens a regular file; never waits on a pipe or a device.

    Args:
        path: The file.
        max_bytes: Max size of the file, if there is one.

    Raises:
        ImageError: It cannot be opened, is not a regular file, or is too large.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"it is {_kind(status.st_mode)}, not a file")
            if max_bytes is not None and status.st_size > max_bytes:
                raise ImageError(
                    f"its {status.st_size:,} bytes are more than the {max_bytes:,} an image may have"
                )
            return FileIO(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise ImageError(f"it cannot be opened ({error.strerror or error})") from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f"it cannot be opened ({error})") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
