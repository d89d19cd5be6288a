"""Images in object stores and folders by address (s3, gs, file), through Arrow's file systems.

Credentials are found as Arrow finds them: in the environment, the user's files, the machine's role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from yolo_max.images.places import Places
from yolo_max.images.read import MAX_FILE_BYTES
from yolo_max.images.source import SourceImage
from yolo_max.images.suffixes import is_image
from yolo_max.support.errors import ImageError, SourceError
from yolo_max.support.text import first_line

REMOTE, LOCAL = ("s3", "gs"), ("file",)
"""Schemes of addresses that lead off this machine, and that do not."""


def is_bucket(source: str) -> bool:
    """Whether a source is an address that Arrow's file systems read."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme in REMOTE + LOCAL


def find_objects(addresses: Iterable[str], *, recursive: bool, remote: bool) -> Iterator[SourceImage]:
    """Finds the images at some addresses: each an image, or a folder or prefix with images in it.

    Args:
        addresses: ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``file:///folder``.
        recursive: Whether to look below the folders.
        remote: Whether schemes are allowed that lead off this machine.

    Yields:
        Those of an address in the order of their paths; hidden ones are left out.

    Raises:
        SourceError: An address may not be read, leads nowhere, or holds no image.
    """
    import pyarrow as pa
    from pyarrow.fs import FileSelector, FileType

    places = Places()
    for address in addresses:
        if address.partition("://")[0] in REMOTE and not remote:
            raise SourceError(f"{address} is an address, which is read only with --allow-remote.")
        try:
            system, root = _open(address)
            (about,) = system.get_file_info([root])
            if about.type == FileType.File:
                found, root = [about], str(PurePosixPath(root).parent)
            elif about.type == FileType.Directory:
                found = system.get_file_info(FileSelector(root, recursive=recursive))
            else:
                raise SourceError(f"{address} does not exist.")
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{address} cannot be read ({first_line(error)}).") from error
        base = address if about.type == FileType.Directory else address.rpartition("/")[0]
        empty = True
        for each in sorted(found, key=lambda each: str(each.path)):
            place = PurePosixPath(each.path).relative_to(root)
            hidden = any(part.startswith(".") for part in place.parts)
            named = about.type == FileType.File
            if each.type != FileType.File or not (named or (is_image(Path(place)) and not hidden)):
                continue
            empty = False
            name = f"{base.rstrip('/')}/{place}"
            # So that a file is never replaced by what is drawn on it.
            path = Path(each.path) if address.startswith("file:") else Path(place.name)
            yield SourceImage(path, *places.claim(Path(place).parent, place.name), address=name)
        if empty:
            below = "" if recursive else ", and subfolders are read only with --recursive"
            raise SourceError(f"there is no image in {address}{below}.")


def read_object(address: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Reads an object.

    Args:
        address: As `find_objects` gave it.
        limit: The most bytes that it may have.

    Raises:
        ImageError: It cannot be read, or has more.
    """
    import pyarrow as pa

    try:
        system, path = _open(address)
        with system.open_input_file(path) as file:
            if (size := file.size()) > limit:
                raise ImageError(f"its {size:,} bytes are more than the {limit:,} an image may have")
            data: bytes = file.read()
            return data
    except (OSError, pa.ArrowException) as error:
        raise ImageError(f"it cannot be read ({first_line(error)})") from error


def _open(address: str) -> tuple[Any, str]:
    """The file system of an address, kept for the next one, and the path in it."""
    scheme, _, path = address.partition("://")
    if scheme in LOCAL:
        return _local(), path
    bucket, _, key = path.partition("/")
    return _bucket(f"{scheme}://{bucket}"), f"{bucket}/{key}" if key else bucket


@cache
def _local() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()


@cache
def _bucket(address: str) -> Any:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(address)[0]
