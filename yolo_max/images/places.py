"""Where results go: each image gets its own place in the output tree.

No two places differ in case only, so the results fit on every file system.
"""

from __future__ import annotations

from pathlib import Path

from yolo_max.support.result_names import annotated_name


class Places:
    """The places of one output tree that are taken."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last that was tried for a place

    def claim(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Finds places for the results of an image.

        Args:
            folder: Relative to the output tree.
            name: The name of the image file.

        Returns:
            Where its annotated image and its ``.txt`` go; both are taken from now on.
        """
        annotated = self._claim(folder / annotated_name(name))
        labels = annotated.with_suffix(".txt")
        if _key(labels) in self._taken:  # if a.jpg has taken a.txt, a.png gets a.png.txt
            labels = annotated.with_name(f"{annotated.name}.txt")
        return annotated, self._claim(labels)

    def _claim(self, place: Path) -> Path:
        free, number = place, self._numbers.get(_key(place), 1)
        while _key(free) in self._taken:
            number += 1
            free = place.with_name(f"{place.stem}_{number}{place.suffix}")
        self._taken.add(_key(free))
        self._numbers[_key(place)] = number
        return free


def _key(place: Path) -> str:
    return str(place).casefold()
