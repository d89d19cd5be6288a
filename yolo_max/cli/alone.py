"""Options that may be typed without their value, which click does not know."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence

from yolo_max.support.ray_options import LOCAL

_ALONE = {"--ray": LOCAL, "--save-json": ""}
"""What they are then."""
_ADDRESS = re.compile(r"auto|local|\S+:\d+|ray://.*")


def with_values(arguments: Sequence[str], valued: Collection[str]) -> list[str]:
    """Arguments in which such options have a value, also where the user wrote none.

    Args:
        arguments: What was typed behind the command.
        valued: The command's options that take one.
    """
    done: list[str] = []
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        alone = "--" not in done and word in _ALONE and word in valued and not _is_value(word, following)
        done.append(f"{word}={_ALONE[word]}" if alone else word)
    return done


def _is_value(option: str, following: str) -> bool:
    """Whether what follows the option is its value; what exists is a source, or a dataset."""
    exists = os.path.lexists(following)
    if option == "--ray":
        return bool(_ADDRESS.fullmatch(following)) and not exists
    if following.lower().endswith(".json"):  # of an earlier time
        return True
    return bool(following) and not following.startswith("-") and not exists
