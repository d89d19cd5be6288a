"""The user's private cache: where it is, and how files get into it.

A cached graph is executable code and cached weights decide results, so the folder belongs to the user alone,
files arrive whole or not at all, and what is read back is checked against its own digest. Checkpoints that
were fetched, or put there by hand, lie beside what is made of them; only what can be made again is cleared
unasked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from yolo_max.support.atomic import TEMPORARY_PREFIX, write_atomically
from yolo_max.support.errors import OutputError

VARIABLE = "YOLO_MAX_CACHE_DIR"
KINDS = {"graphs": "compiled graphs", "weights": "converted weights", "checkpoints": "checkpoints"}
REMADE = ("graphs", "weights")
"""The kinds that are made again when they are next needed."""
_FILES = {
    "graphs": ("graphs", ("*",)),
    "weights": ("weights", ("*.weights", f"{TEMPORARY_PREFIX}*")),
    "checkpoints": ("weights", ("*.pt", "*.safetensors")),
}
"""Of each kind: its folder, and the names of its files there."""


def cache_root() -> Path:
    """The cache folder, which need not exist: ``$YOLO_MAX_CACHE_DIR``, or the platform's own place.

    Raises:
        OutputError: There is no such place, as this user has no home.
    """
    try:
        if value := os.environ.get(VARIABLE):
            return Path(value).expanduser().absolute()
        from platformdirs import user_cache_path

        return user_cache_path("yolo_max")
    except RuntimeError as error:
        raise OutputError(
            f"there is no place for the cache, as this user has no home folder; set {VARIABLE} to a folder."
        ) from error


def cache_folder(kind: str) -> Path:
    """The folder for one kind of thing, created for this user alone (mode 0700).

    Raises:
        OutputError: It cannot be created, or somebody else could write into it.
    """
    folder = cache_root() / kind
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (folder.parent, folder):
            _require_private(each)
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} cannot be used ({error.strerror}); make it writable or "
            f"set {VARIABLE} to another folder."
        ) from error
    return folder


def _require_private(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise OutputError(
            f"the cache folder {folder} belongs to another user, who could put code there; set {VARIABLE} "
            "to a folder of your own."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        folder.chmod(0o700)


def write_checked(path: Path, data: bytes) -> None:
    """Writes ``data`` behind its own SHA-256, for :func:`read_checked`, readable by this user alone.

    Raises:
        OutputError: The file cannot be written.
    """
    write_atomically(path, hashlib.sha256(data).digest() + data, mode=0o600)


def read_checked(path: Path) -> bytes | None:
    """What :func:`write_checked` wrote; None if there is no such file or it is damaged, which removes it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:32], content[32:]
    if hashlib.sha256(data).digest() == digest:
        return data
    with suppress(OSError):  # it may lie where nothing can be removed
        path.unlink(missing_ok=True)
    return None


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache."""

    kind: str
    path: Path
    size: int


def entries() -> Iterator[CacheEntry]:
    """Every file in the cache, by kind."""
    for kind in KINDS:
        for path in _paths(kind):
            if path.is_file():
                yield CacheEntry(kind, path, path.stat().st_size)


def clear(kind: str | None = None) -> int:
    """Removes what is cached.

    Args:
        kind: One of `KINDS`; by default all of `REMADE`, so that no checkpoint is lost unasked.

    Returns:
        How many bytes that frees.

    Raises:
        OutputError: A file cannot be removed.
    """
    kinds = REMADE if kind is None else (kind,)
    freed = sum(entry.size for entry in entries() if entry.kind in kinds)
    for path in [path for each in kinds for path in _paths(each)]:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{path} cannot be removed from the cache: {error.strerror}.") from error
    return freed


def _paths(kind: str) -> list[Path]:
    folder, patterns = _FILES[kind]
    return sorted({path for pattern in patterns for path in (cache_root() / folder).glob(pattern)})
