"""The output folder of a run, held open so that results land in it and nowhere else."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yolo_max.support.atomic import cannot_write, replace_file, temporary_name
from yolo_max.support.errors import ImageError, OutputError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OF_ONE_PATH = {
    errno.EACCES,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
}
"""Errors of one path in the output folder; any other would meet the next image too."""


class OutputTree:
    """A folder that files are written below, by its descriptor and not by its path.

    Whatever happens to the path meanwhile, no file goes elsewhere: a folder that was moved is still the one
    that is written, one that was removed is not made again, and no link below it is followed.

    Attributes:
        root: The folder's path when it was opened.
    """

    def __init__(self, root: Path) -> None:
        """Opens a folder, which is made if it does not exist.

        Raises:
            OutputError: It cannot be made or opened.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(root, _FOLDER)
        except OSError as error:
            raise cannot_write(root, error) from error

    def write(self, place: Path, data: bytes, *, sync: bool = False) -> None:
        """Writes a file as `yolo_max.support.atomic.write_atomically` does; missing folders are made.

        Args:
            place: Relative to the root, without "..".
            data: All of its content.
            sync: Whether to wait until it is on the disk.

        Raises:
            OutputError: It cannot be written, or a folder of its path is a link; nothing is left behind.
        """
        try:
            with self._folder_of(place) as folder:
                replace_file(place.name, data, sync=sync, dir_fd=folder)
        except OSError as error:
            raise cannot_write(self.root / place, error) from error

    def create(self, place: Path) -> PartialFile:
        """Begins a file that is written piece by piece, and is in its place when it is whole.

        Raises:
            OutputError: As for `write`.
        """
        try:
            with self._folder_of(place) as folder:
                return PartialFile(self.root / place, os.dup(folder))
        except OSError as error:
            raise cannot_write(self.root / place, error) from error

    def remove(self, place: Path) -> None:
        """Removes a file that was written.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            with self._folder_of(place) as folder:
                os.unlink(place.name, dir_fd=folder)
        except OSError as error:
            raise cannot_write(self.root / place, error) from error

    def close(self) -> None:
        """Closes the folder."""
        os.close(self._folder)
        self._folder = -1  # so that nothing is written to another folder with this descriptor

    @contextmanager
    def _folder_of(self, place: Path) -> Iterator[int]:
        """Opens the folder that a file lies in; each on the way is made if it is missing."""
        folder = os.dup(self._folder)
        try:
            for part in place.parent.parts:
                inner = _open_or_make(part, folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


class PartialFile(io.FileIO):
    """A file that is being written, under another name beside its place."""

    def __init__(self, path: Path, folder: int) -> None:
        """Creates it.

        Args:
            path: Where it belongs; for messages.
            folder: The folder that it lies in, open; it is closed with the file.

        Raises:
            OSError: It cannot be created.
        """
        self.path, self._folder = path, folder
        self._temporary = temporary_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            super().__init__(os.open(self._temporary, flags, 0o666, dir_fd=folder), "r+b")
        except OSError:
            os.close(folder)
            raise

    def commit(self) -> None:
        """Puts it in its place.

        Raises:
            OutputError: It cannot be put there.
        """
        try:
            os.replace(self._temporary, self.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def discard(self) -> None:
        """Closes it, and removes it unless it was put in its place."""
        with suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._folder)
        with suppress(OSError):  # of a full disk, which was raised before
            self.close()
        os.close(self._folder)


def of_one_path(place: Path, error: OutputError) -> ImageError | None:
    """The error of the image that a file belongs to; None where the next file would meet the same."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _OF_ONE_PATH:
        return ImageError(f"{place} cannot be written for it ({cause.strerror})")
    return None


def _open_or_make(name: str, parent: int) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another thread made it
            os.mkdir(name, dir_fd=parent)
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
