"""Images in object stores by address (s3, gs), through Arrow's file systems.

Credentials are found as Arrow finds them: in the environment, the user's files, the machine's role.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from yolo_max.images.folders import are_results
from yolo_max.images.globs import RESULTS
from yolo_max.images.places import Places
from yolo_max.images.read import MAX_FILE_BYTES
from yolo_max.images.source import SourceImage, SourceSkipped
from yolo_max.images.suffixes import is_image
from yolo_max.support.errors import ImageError, SourceError
from yolo_max.support.text import first_line

SCHEMES = ("s3", "gs")


def is_bucket(source: str) -> bool:
    """Whether a source is an address in an object store."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme in SCHEMES


def find_objects(
    addresses: Iterable[str], *, recursive: bool, remote: bool, places: Places | None = None
) -> Iterator[SourceImage | SourceSkipped]:
    """Finds the images at some addresses: each an image, or a prefix with images below it.

    Args:
        addresses: ``s3://bucket/prefix``, ``gs://bucket/prefix``.
        recursive: Whether to look below the folders.
        remote: Whether addresses that lead off this machine are allowed.
        places: As for `yolo_max.images.sources.find_images`.

    Yields:
        Those of an address in the order of their paths, each once; hidden ones are left out, and the results
        of earlier runs, which come at the end.

    Raises:
        SourceError: An address may not be read, leads nowhere, or holds no image.
    """
    import pyarrow as pa
    from pyarrow.fs import FileSelector, FileType

    places = places or Places()
    seen: set[str] = set()  # as true addresses
    skipped: set[str] = set()
    for address in addresses:
        if not remote:
            raise SourceError(f"{address} is an address, which is read only with --allow-remote.")
        try:
            system, root = _open(address)
            (about,) = system.get_file_info([root])
            if named := about.type == FileType.File:
                found, root = [about], str(PurePosixPath(root).parent)
            elif about.type == FileType.Directory:
                found = system.get_file_info(FileSelector(root, recursive=recursive))
            else:
                raise SourceError(f"{address} does not exist.")
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{address} cannot be read ({first_line(error)}).") from error
        base = address.rpartition("/")[0] if named else address.rstrip("/")
        files = sorted(str(each.path) for each in found if each.type == FileType.File)
        results = set() if named else _results(files) - {PurePosixPath(root)}
        scheme, empty = address.partition("://")[0], True
        skipped |= {f"{scheme}://{each}" for each in results}
        for file in files:
            place = PurePosixPath(file).relative_to(root)
            hidden = any(part.startswith(".") for part in place.parts)
            if not named and (
                hidden or not is_image(Path(place)) or not results.isdisjoint(PurePosixPath(file).parents)
            ):
                continue
            empty = False
            if f"{scheme}://{file}" not in seen:
                seen.add(f"{scheme}://{file}")
                places_of_it = places.claim(Path(place).parent, place.name)
                yield SourceImage(Path(place.name), *places_of_it, address=f"{base}/{place}")
        if empty:
            hint = "" if recursive else ", and subfolders are read only with --recursive"
            raise SourceError(f"there is no image in {address}{f'; {RESULTS}' if results else hint}.")
    for each in sorted(skipped):
        if not any(name.startswith(f"{each}/") for name in seen):  # it may be named as well
            yield SourceSkipped(each, RESULTS)


def _results(files: Sequence[str]) -> set[PurePosixPath]:
    """The folders of some files that were written by runs or comparisons."""
    inside = defaultdict[str, list[str]](list)
    for file in files:
        folder, _, name = file.rpartition("/")
        inside[folder].append(name)
    return {PurePosixPath(folder) for folder, names in inside.items() if are_results(map(Path, names))}


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
    bucket, _, key = path.partition("/")
    return _bucket(f"{scheme}://{bucket}"), f"{bucket}/{key}" if key else bucket


@cache
def _bucket(address: str) -> Any:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(address)[0]
