"""Where the crops of a run go: as in Ultralytics, and never one over another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from yolo_max.images.frame import Position
from yolo_max.images.source import Source, SourceImage
from yolo_max.output.crops import folder_of

CROPS_FOLDER = Path("crops")


def name_of(source: Source, position: Position | None) -> Path:
    """What the files of an image or frame are called, without a suffix; no two are called alike."""
    if isinstance(source, SourceImage):
        return source.labels.with_suffix("")
    number = 0 if position is None else position.number
    return source.labels.with_name(f"{source.labels.name}_{number}")


class CropNames:
    """The files of crops: ``crops/CLASS/a.jpg``, ``a-2.jpg``, ``a-3.jpg``, ...

    Where another image is called ``a-2``, that number is left out.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        """Learns what the images of a run are called."""
        self._taken = {name_of(source, None) for source in sources if isinstance(source, SourceImage)}

    def of(self, source: Source, position: Position | None, classes: Iterable[str]) -> Iterator[Path]:
        """The places for the crops of one image or frame.

        Args:
            source: The image or video.
            position: Where in the video the frame is.
            classes: The class name of each crop.
        """
        name = name_of(source, position)
        places: dict[str, Iterator[Path]] = {}
        for each in classes:
            folder = folder_of(each)
            if folder not in places:
                places[folder] = self._places(CROPS_FOLDER / folder, name)
            yield next(places[folder])

    def _places(self, folder: Path, name: Path) -> Iterator[Path]:
        yield folder / name.with_name(f"{name.name}.jpg")
        for number in count(2):
            other = name.with_name(f"{name.name}-{number}")
            if other not in self._taken:
                yield folder / other.with_name(f"{other.name}.jpg")
