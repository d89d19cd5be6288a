"""The images that a process was working on when it died; one of them may be the reason."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from yolo_max.support.atomic import cannot_write
from yolo_max.support.result_names import IN_FLIGHT_FILE


class InFlight:
    """A list of the images that a run has begun; it stays behind only when the process dies.

    It has one line per image, appended before the image is read. Those that have no line in the manifest when
    the process dies were in flight.

    Attributes:
        suspects: The paths that previous processes left in the list, done or not.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the list of the run in a folder, to which no other process may write.

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
        """Adds an image; its line survives if the process is killed right afterwards.

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
    """The path of a line; None if it is damaged."""
    try:
        path = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return path if isinstance(path, str) else None
