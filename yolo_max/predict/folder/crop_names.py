"""Where the crops and thumbnails of a run go: as in Ultralytics, and never one file over another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import count
from pathlib import Path

from yolo_max.images.frame import Position
from yolo_max.images.source import Source, SourceImage, SourceVideo
from yolo_max.output.crops import fitting, folder_of

CROPS_FOLDER, THUMBNAILS_FOLDER = Path("crops"), Path("thumbnails")
ROOM = len("-999999.jpg")
"""What is added to a name at most."""


def name_of(source: Source, position: Position | None) -> Path:
    """What the files of an image or frame are called, without a suffix; no two are called alike."""
    if isinstance(source, SourceImage):
        name = source.labels.with_suffix("")
    else:
        name = source.labels.with_name(f"{source.labels.name}_{0 if position is None else position.number}")
    return name.with_name(fitting(name.name, room=ROOM))


class CropNames:
    """The files of crops: ``crops/CLASS/a.jpg``, ``a-2.jpg``, ``a-3.jpg``, ...

    Where another image is called ``a-2``, that number is left out. Where the sources have a folder ``crops``
    of their own, which their annotated images keep, it is ``crops_2``; likewise for thumbnails.

    Attributes:
        folder: Of the crops, relative to the output tree.
        thumbnails: The folder of the thumbnails, likewise.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        """Learns what the images of a run are called."""
        sources = list(sources)
        self._taken = {name_of(source, None) for source in sources if isinstance(source, SourceImage)}
        roots = {_root(source.annotated) for source in sources}
        roots |= {_root(source.frames) for source in sources if isinstance(source, SourceVideo)}
        self.folder, self.thumbnails = (_free(each, roots) for each in (CROPS_FOLDER, THUMBNAILS_FOLDER))

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
                places[folder] = self._places(self.folder / folder, name)
            yield next(places[folder])

    def thumbnail(self, source: Source, position: Position | None) -> Path:
        """The place for the thumbnail of an image or frame."""
        name = self.thumbnails / name_of(source, position)
        return name.with_name(f"{name.name}.jpg")

    def _places(self, folder: Path, name: Path) -> Iterator[Path]:
        yield folder / name.with_name(f"{name.name}.jpg")
        for number in count(2):
            other = name.with_name(f"{name.name}-{number}")
            if other not in self._taken:
                yield folder / other.with_name(f"{other.name}.jpg")


def _root(place: Path) -> str:
    """What is first in a relative path, for file systems that ignore case."""
    return place.parts[0].casefold()


def _free(folder: Path, roots: Collection[str]) -> Path:
    names = (folder if i == 1 else folder.with_name(f"{folder.name}_{i}") for i in count(1))
    return next(each for each in names if _root(each) not in roots)
