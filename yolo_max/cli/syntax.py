"""What a command takes, for messages about what was typed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Syntax:
    """What a command takes.

    Attributes:
        command: How it is called: "yolo-max predict".
        argument: The name of its argument: "sources", "data", "weights"; empty if it has none.
        flags: Its options without a value, as they are written: "--save", "--no-save", "-r".
        valued: Its options with one.
    """

    command: str
    argument: str = ""
    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()

    def has(self, words: Sequence[str]) -> bool:
        """Whether all options among these words are its own."""
        return all(word in self.flags | self.valued for word in words if word.startswith("--"))

    def called_with(self, words: Sequence[str]) -> str:
        """The command with these arguments, as the shell takes it."""
        return f"{self.command} {shlex.join(words)}".strip()

    @property
    def names(self) -> list[str]:
        """Its options by their long names, sorted."""
        return sorted(each for each in self.flags | self.valued if each.startswith("--"))
