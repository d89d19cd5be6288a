"""The user's private cache: where it is, and how files get into it.

A cached graph is executable code and cached weights decide results, so only folders and files are trusted
that belong to this user and that nobody else can write. Files are written atomically and verified by their
own digest. Checkpoints, fetched or copied by hand, are kept next to the weights converted from them; by
default only what can be made again is cleared.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import BinaryIO

from yolo_max.support.atomic import TEMPORARY_PREFIX, write_atomically
from yolo_max.support.errors import OutputError

VARIABLE = "YOLO_MAX_CACHE_DIR"
KINDS = {"graphs": "compiled graphs", "weights": "converted weights", "checkpoints": "checkpoints"}
REMADE = ("graphs", "weights")
"""The kinds that are made again when they are next needed."""
PATIENCE = 2.0
"""Seconds that a process waits for another before it says so."""
_TEMPORARY = rf"{re.escape(TEMPORARY_PREFIX)}.+"
_NAMES = {
    "graphs": (("graphs", rf"[0-9a-f]+\.mef|{_TEMPORARY}"), ("max", r"\.(max|mogg|mojo)_cache")),
    "weights": (("weights", rf"[0-9a-f]+-v[0-9]+\.weights|{_TEMPORARY}"),),
    "checkpoints": (("weights", r".+\.(pt|safetensors)"),),
}
"""The folders of each kind, and our names in each; in `max`, those that MAX chooses."""


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


def cache_folder(name: str) -> Path:
    """A folder of the cache, created for this user alone (mode 0700).

    Raises:
        OutputError: It cannot be created, is a link, belongs to another user, or others can write to it. The
            permissions of existing folders are never changed.
    """
    root = cache_root()
    folder = root / name
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(root, root.stat())
        folder.mkdir(mode=0o700, exist_ok=True)
        _require_private(folder, folder.lstat())
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} cannot be used ({error.strerror}); make it writable or "
            f"set {VARIABLE} to another folder."
        ) from error
    return folder


def _require_private(folder: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise OutputError(f"the cache folder {folder} is not a folder; move it, or set {VARIABLE}.")
    if status.st_uid != os.getuid():
        raise OutputError(
            f"the cache folder {folder} belongs to another user, who could put code there; set {VARIABLE} "
            "to a folder of your own."
        )
    # In a sticky folder, such as /tmp, others can add files but not replace ours.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        raise OutputError(
            f"other users can write to the cache folder {folder} and could put code there; run "
            f"`chmod go-w` on it, or set {VARIABLE} to another folder."
        )


def write_checked(path: Path, data: bytes) -> None:
    """Writes ``data`` behind its own SHA-256, for :func:`read_checked`, readable by this user alone.

    Raises:
        OutputError: The file cannot be written.
    """
    write_atomically(path, hashlib.sha256(data).digest() + data, mode=0o600)


def read_checked(path: Path) -> bytes | None:
    """What :func:`write_checked` wrote, or None if it is missing, damaged, or could be another user's.

    A damaged file is removed.
    """
    try:
        file = open_own(path)
        if file is None:
            return None
        with file:
            content = file.read()
    except OSError:
        return None
    digest, data = content[:32], content[32:]
    if hashlib.sha256(data).digest() == digest:
        return data
    with suppress(OSError):  # the folder may be read-only
        path.unlink(missing_ok=True)
    return None


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lets one process at a time make a file of the cache, so that the others find what it made.

    Where there can be no lock each makes its own, which costs time and nothing else.

    Args:
        path: The file.
        on_wait: Called once, on another thread, when another process has it for longer than `PATIENCE`.
    """
    lock = path.with_name(f"{TEMPORARY_PREFIX}{path.name}.lock")
    file = None
    waiting = Timer(PATIENCE, on_wait)
    waiting.daemon = True
    waiting.start()
    try:
        while file is None:
            file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, lock):  # who held it has removed it
                os.close(file)
                file = None
    except OSError:
        pass
    finally:
        waiting.cancel()
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is what a path leads to."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def open_own(path: Path) -> BinaryIO | None:
    """Opens a plain file of this user that nobody else can write; None for anything else, such as a link.

    Raises:
        OSError: It cannot be opened.
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    status = os.fstat(file.fileno())
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not others:
        return file
    file.close()
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
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield CacheEntry(kind, path, status.st_size)


def clear(kind: str | None = None) -> int:
    """Removes cached files: only names that are ours, and never through a link.

    Args:
        kind: One of `KINDS`; by default all of `REMADE`, so that checkpoints are kept.

    Returns:
        The number of bytes freed.

    Raises:
        OutputError: A file cannot be removed.
    """
    kinds = REMADE if kind is None else (kind,)
    freed = 0
    for path in [path for each in kinds for path in _paths(each)]:
        try:
            if path.is_dir() and not path.is_symlink():
                freed += sum(_size(each) for each in path.rglob("*"))
                shutil.rmtree(path)
            else:
                freed += _size(path)
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{path} cannot be removed from the cache: {error.strerror}.") from error
    return freed


def _paths(kind: str) -> list[Path]:
    found: list[Path] = []
    for name, names in _NAMES[kind]:
        folder = cache_root() / name
        with suppress(OSError):  # it is missing or cannot be read
            if not folder.is_symlink():
                found += [path for path in folder.iterdir() if re.fullmatch(names, path.name)]
    return sorted(found)


def _size(path: Path) -> int:
    """Bytes of a file; 0 for anything else."""
    status = path.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
