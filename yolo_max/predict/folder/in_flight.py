"""Which images were under way when a process died: it may have died of one of them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from yolo_max.support.atomic import cannot_write
from yolo_max.support.result_names import IN_FLIGHT_FILE


class InFlight:
    """A list of the images that a run has begun with, which only a process that dies leaves behind.

    It holds one line per image, appended before the image is read. What has no line in the manifest when the
    process dies was under way, on one thread or another.

    Attributes:
        suspects: The paths that an earlier process left in the list, done or not.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the list of the run in a folder that no other process writes to.

        Raises:
            OutputError: It cannot be written.
        """
        self._path = folder / IN_FLIGHT_FILE
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self._path, flags, 0o666)
            with os.fdopen(os.dup(self._file), "rb") as lines:
                decoded = [_decode(line) for line in lines]
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.suspects = [path for path in decoded if path is not None]

    def begin(self, path: str) -> None:
        """Adds an image; a process that is killed right after this has added it.

        Raises:
            OutputError: It cannot be written.
        """
        line = json.dumps(path).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Removes the list: no image has killed this process."""
        os.close(self._file)
        with suppress(OSError):  # the folder may be gone
            self._path.unlink()


def _decode(line: bytes) -> str | None:
    """The path of a line; None for one that is not whole."""
    try:
        path = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return path if isinstance(path, str) else None
