"""A writable folder for MAX's own cache, which it cannot compile without."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from yolo_max.support.cache import cache_folder
from yolo_max.support.errors import OutputError
from yolo_max.support.plain_file import is_closed

VARIABLE = "MODULAR_CACHE_DIR"
HOME = "MODULAR_HOME"
_placed: str | None = None
"""The folder that this process has found to be writable."""


def place_max_cache(report: Callable[[str], None] = lambda _: None) -> None:
    """Sets ``MODULAR_CACHE_DIR`` to a folder that can be written.

    That is the folder MAX was told to use or would choose, else one in yolo_max's cache, else a private
    temporary one, which is removed when this process exits. Where the user's home is closed to the user, as
    root's is to whom ``sudo -u`` or a container left it, sets ``MODULAR_HOME`` too: MAX 26.7 would hang.

    Args:
        report: Called with a sentence if compiled graphs cannot be kept.
    """
    try:
        cache_folder("graphs")
    except OutputError as error:
        report(f"The network is compiled anew at every start: {error}")
    global _placed
    if _placed is not None and os.environ.get(VARIABLE) == _placed:
        return  # by a predictor, before its engine
    _placed = next((str(folder) for folder in _candidates() if _is_writable(folder)), None)
    with suppress(OSError):  # nothing at all can be written: MAX says what it misses
        if _placed is None:
            _placed = tempfile.mkdtemp(prefix="yolo_max_")
            atexit.register(shutil.rmtree, _placed, ignore_errors=True)
        os.environ[VARIABLE] = _placed
        if HOME not in os.environ and _is_home_closed():
            os.environ[HOME] = _placed


def _candidates() -> Iterator[Path]:
    if given := os.environ.get(VARIABLE):
        yield Path(given)
    if home := os.environ.get(HOME):
        yield Path(home) / "cache"
    with suppress(RuntimeError):  # this user has no home
        from platformdirs import user_cache_path

        yield user_cache_path("modular")
    with suppress(OutputError):
        yield cache_folder("max")


def _is_home_closed() -> bool:
    """Whether this user may not even look into what is called their home."""
    with suppress(RuntimeError):  # there is none
        return is_closed(Path.home())
    return False


def _is_writable(folder: Path) -> bool:
    """Whether files can be created in a folder, which is created if it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
