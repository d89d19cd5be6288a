"""Attempts: which image of a shard ends the workers that predict it, after one of them has died."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_max.ray.shards import shard_name
from yolo_max.support.atomic import TEMPORARY_PREFIX

CRASHES = 3
"""How many workers an image ends by itself until it is taken for the reason; they die of other things too."""


class Attempts:
    """The images of a shard, one after another, and which of them were begun by workers that died.

    Each has a file while it is worked on, which has a byte for every attempt.
    """

    def __init__(self, out: Path, shard: int) -> None:
        """The attempts at a shard of the run in an output folder, by whatever worker."""
        name = shard_name(shard, "crash")
        self._folder, self._prefix = out / name.parent, f"{TEMPORARY_PREFIX}{name.name}-"

    def crashes(self) -> dict[int, str]:
        """The images that ended their worker each time, by number, and how that is said."""
        return {
            int(path.name.removeprefix(self._prefix)): "predicting what is in it crashes the process"
            for path in self._folder.glob(f"{self._prefix}*")
            if path.stat().st_size >= CRASHES
        }

    def one_by_one(
        self, predicted: Callable[[Iterable[int]], Iterator[Mapping[str, Any]]], numbers: Iterable[int]
    ) -> Iterator[Mapping[str, Any]]:
        """The record of each image, which is begun when all before it are done."""
        self._folder.mkdir(exist_ok=True)
        for number in numbers:
            path = self._folder / f"{self._prefix}{number}"
            with path.open("ab") as file:
                file.write(b".")
            records = list(predicted([number]))
            path.unlink()
            yield from records
