"""Images in one folder per class, ``DATASET/val/tabby/1.jpg``, as in Ultralytics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolo_max.images.suffixes import IMAGE_SUFFIXES
from yolo_max.support.errors import SourceError, UsageError
from yolo_max.verify.val.dataset import Dataset

_SPLITS = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}


@dataclass(frozen=True)
class ClassExample:
    """One image and its class.

    Attributes:
        path: The image.
        class_id: The dataset's id of its class.
    """

    path: Path
    class_id: int


def load_image_folder(path: Path, split: str = "val", images: Path | None = None) -> Dataset:
    """Finds the images of a split.

    Args:
        path: The folder that holds the folders of the splits.
        split: "val" (or a folder named validation or valid), "test" or "train".
        images: Must be None; other datasets use it.

    Returns:
        The dataset, of a `ClassExample` each; its names are those of the folders, in alphabetical order.

    Raises:
        SourceError: It is not such a folder, or holds no image.
        UsageError: The split does not exist.
    """
    if images is not None:
        raise UsageError("a folder of images can only be given for annotations in JSON.")
    if not path.is_dir():
        raise SourceError(
            f"{path} is not a folder; to measure a classifier, give one with {split}/CLASS/IMAGE in it."
        )
    there = {name: path / folder for name in _SPLITS if (folder := _folder(path, name))}
    if split not in there:
        found = f"it has {', '.join(there)}" if there else f"it needs {split}/CLASS/IMAGE"
        raise UsageError(f"{path} has no split {split!r}; {found}.")
    try:
        # A class counts even if it is absent from this split.
        names = sorted({each.name for place in there.values() for each in _visible(place) if each.is_dir()})
        examples = [
            ClassExample(file, class_id)
            for class_id, name in enumerate(names)
            for file in sorted((there[split] / name).rglob("*"))
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        ]
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not examples:
        raise SourceError(f"{there[split]} holds no class folder with an image in it.")
    return Dataset(path, dict(enumerate(names)), tuple(examples), folders=tuple(there.values()))


def _folder(path: Path, split: str) -> str | None:
    return next((name for name in _SPLITS[split] if (path / name).is_dir()), None)


def _visible(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if not each.name.startswith(".")]
