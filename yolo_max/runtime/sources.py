"""The sources that a compiled graph depends on. Wheels are built with it: it imports only Python's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
GRAPH_SOURCES = ("engine/trace.py", "model", "kernels")
"""Our modules and packages (at any depth) that decide what a graph computes."""
SHIPPED = PACKAGE / "graphs"
"""Where a wheel has compiled graphs; a checkout has none unless `make graphs` put them there."""


def sources_digest(root: Path = PACKAGE, places: Sequence[str] = GRAPH_SOURCES) -> str:
    """A digest of source files: their paths below ``root`` and their contents.

    Args:
        root: The folder that the places are relative to.
        places: Python modules, and folders whose Python and Mojo files count at any depth.

    Raises:
        FileNotFoundError: A place has no sources: it has moved, and a digest without it would match
            stale graphs.
    """
    digest = hashlib.sha256()
    for place in places:
        path = root / place
        files = (
            [path]
            if path.is_file()
            else sorted(each for kind in ("*.py", "*.mojo") for each in path.rglob(kind))
        )
        if not files:
            raise FileNotFoundError(f"{path} has no sources, but the key of cached graphs depends on them.")
        for file in files:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
