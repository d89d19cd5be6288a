"""Where results go: each image and each video gets its own places in the output tree.

No two places differ in case only, so the results fit on every file system.
"""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path

from yolo_max.support.result_names import annotated_name, annotated_video_name

_NUMBERED = re.compile(r"(.*)_\d+\.txt", re.DOTALL)


class Places:
    """The places of one output tree that are taken."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last that was tried for a place
        self._folders: set[str] = set()  # those of places that are taken
        self._frames: set[str] = set()  # folders that belong to the frames of one video
        self._series: set[str] = set()  # what the numbered labels of a video begin with
        self._numbered: set[str] = set()  # what other labels begin with that end in a number

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
        if self._is_taken(labels):  # if a.jpg has taken a.txt, a.png gets a.png.txt
            labels = annotated.with_name(f"{annotated.name}.txt")
        return annotated, self._claim(labels)

    def claim_video(self, folder: Path, name: str) -> tuple[Path, Path, Path]:
        """Finds places for the results of a video.

        Args:
            folder: Relative to the output tree.
            name: The name of the video file.

        Returns:
            Where its annotated video goes; the folder of its annotated frames, which holds nothing else; and
            what ``_1.txt``, ``_2.txt`` and so on are added to for its frames' labels.
        """
        stem = Path(name).stem
        annotated = self._claim(folder / annotated_video_name(name))
        frames = self._first_free(folder / f"{stem}_frames", self._taken | self._folders)
        self._taken.add(_key(frames))
        self._frames.add(_key(frames))
        taken = self._series | self._numbered
        series = folder / (stem if _key(folder / stem) not in taken else name)
        series = self._first_free(series, taken)
        self._series.add(_key(series))
        return annotated, frames, series

    def _first_free(self, place: Path, taken: set[str]) -> Path:
        tried = (place if i == 1 else place.with_name(f"{place.name}_{i}") for i in count(1))
        return next(each for each in tried if _key(each) not in taken)

    def _claim(self, place: Path) -> Path:
        first = _key(place)
        free, number = place, self._numbers.get(first, 1)
        # A number behind "_" would be that of a frame.
        sign = "-" if first.removesuffix(".txt") in self._series else "_"
        while self._is_taken(free):
            number += 1
            free = place.with_name(f"{place.stem}{sign}{number}{place.suffix}")
        key = _key(free)
        self._taken.add(key)
        self._folders.add(os.path.dirname(key))  # noqa: PTH120
        if numbered := _NUMBERED.fullmatch(key):
            self._numbered.add(numbered[1])
        self._numbers[first] = number
        return free

    def _is_taken(self, place: Path) -> bool:
        key = _key(place)
        numbered = _NUMBERED.fullmatch(key)
        return (
            key in self._taken
            or os.path.dirname(key) in self._frames  # noqa: PTH120
            or (numbered is not None and numbered[1] in self._series)
        )


def _key(place: Path) -> str:
    return str(place).casefold()
