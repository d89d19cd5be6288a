"""YAML from a user, read as plain values within limits."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from yolo_max.support.plain_file import read_plain_file

MAX_BYTES = 2**20
MAX_NODES = 100_000
"""Max number of values, with every alias written out."""


def read_yaml(path: Path) -> Any:
    """The value that a YAML file holds: dicts, lists, strings, numbers, dates.

    Args:
        path: The file, in UTF-8 or UTF-16.

    Raises:
        OSError: It cannot be read, is not a regular file, or has more than `MAX_BYTES`.
        ValueError: It is not YAML, or holds too much; the message is a sentence without its subject.
    """
    import yaml  # type: ignore[import-untyped]

    data = read_plain_file(path, MAX_BYTES)
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if utf16 else "utf-8-sig", "replace")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) <= MAX_NODES:
            return loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("is YAML that is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist, a huge number
        raise ValueError(f"is not YAML: {' '.join(str(error).split())[:300]}") from error
    raise ValueError(f"holds more than {MAX_NODES:,} values")


def _size(node: Any, sizes: dict[int, int]) -> int:
    """The number of values in a YAML node with every alias written out; a value in itself is too much."""
    if id(node) not in sizes:
        sizes[id(node)] = MAX_NODES + 1
        children = node.value if isinstance(node.value, list) else []
        pairs = (child if isinstance(child, tuple) else (child,) for child in children)
        sizes[id(node)] = 1 + sum(_size(each, sizes) for pair in pairs for each in pair)
    return sizes[id(node)]
