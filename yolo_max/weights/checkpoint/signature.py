"""The first bytes of files that ``torch.save`` writes."""

from __future__ import annotations

_ZIP = b"PK\x03\x04"
_LEGACY_PICKLE, _LEGACY_MAGIC = b"\x80", b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
SIZE = 64
"""Bytes needed to tell."""


def is_checkpoint(start: bytes) -> bool:
    """Whether a file with these first bytes may be a checkpoint."""
    return start.startswith(_ZIP) or is_legacy(start)


def is_legacy(start: bytes) -> bool:
    """Whether it is in the container used before torch 1.6, which begins with a pickled magic number."""
    return start.startswith(_LEGACY_PICKLE) and _LEGACY_MAGIC in start[:SIZE]
