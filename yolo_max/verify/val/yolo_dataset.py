"""Ultralytics' datasets: a YAML, folders of images, and YOLO label files beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from yolo_max.images.suffixes import IMAGE_SUFFIXES
from yolo_max.support.errors import SourceError, UsageError
from yolo_max.support.plain_file import read_plain_file, reason
from yolo_max.support.yaml_file import read_yaml
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.objects import Boxes, Example, Shape

MAX_CLASSES = 100_000
COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
"""COCO's own ids of its 80 classes."""


def load_yolo_dataset(path: Path, split: str, kind: type[Shape] = Boxes) -> BoxDataset:
    """Reads a dataset that a YAML describes.

    An image whose label file cannot be used is left out, as in Ultralytics; the dataset's problems say so.

    Args:
        path: The YAML file.
        split: "val", "test" or "train".
        kind: What of its objects to measure.

    Raises:
        SourceError: The file, its images or all of their labels are missing or damaged.
        UsageError: The split does not exist.
    """
    data = _description(path)
    if "validation" in data:
        data.setdefault("val", data["validation"])
    names = _names(path, data)
    shape = kind.of_yaml(path, data)
    if not data.get(split):
        splits = [name for name in ("train", "val", "test") if data.get(name)]
        there = (
            f"it has {', '.join(splits)}" if splits else f"it needs a line such as {split}: images/{split}"
        )
        raise UsageError(f"{path} has no split {split!r}; {there}.")
    parts = [_text(path, split, part) for part in _as_list(data[split])]
    examples, problems = [], []
    found = _find_parts(path, _text(path, "path", data.get("path") or ""), parts)
    images = sorted(image for each in found for image in _images_of(each))
    if not images:
        raise SourceError(f"{' and '.join(map(str, found))} holds no image.")
    unlabelled = [image for image in images if _is_missing(_label_file(image))]
    if len(unlabelled) == len(images):
        raise SourceError(f"no image of {path} has a label file; looked for {_label_file(images[0])}, ...")
    for image in images:
        labels = _label_file(image)
        try:
            class_id, xyxy, shapes = shape.read(labels, names)
        except (ValueError, OSError) as error:
            why = error if isinstance(error, ValueError) else f"cannot be read: {reason(error)}"
            problems.append(f"{labels} {why}")
            continue
        count = len(class_id)
        image_id = int(image.stem) if image.stem.isdecimal() else image.stem
        area, crowd = np.full(count, np.nan), np.zeros(count, bool)
        examples.append(Example(image, image_id, class_id, xyxy, True, area, crowd, shapes=shapes))
    ids = COCO_IDS if _is_coco(found, names) else range(1, len(names) + 1)
    return BoxDataset(
        path,
        names,
        tuple(examples),
        tuple(problems),
        len(unlabelled),
        dict(zip(sorted(names), ids, strict=True)),
        shape,
        folders=tuple(part for part in found if part.is_dir()),
    )


def _description(path: Path) -> dict[str, Any]:
    try:
        description = read_yaml(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}.") from error
    except ValueError as error:
        raise SourceError(f"{path} {error}.") from error
    if not isinstance(description, dict):
        raise SourceError(f"{path} does not describe a dataset; it needs the keys path, val and names.")
    return description


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(path: Path, key: str, value: Any) -> str:
    # Python refuses to write out integers of thousands of digits.
    if isinstance(value, dict | list) or (isinstance(value, int) and value.bit_length() > 64):
        raise SourceError(f"{path} has a {key} that is not text, but of type {type(value).__name__}.")
    return str(value)


def _names(path: Path, data: Mapping[str, Any]) -> dict[int, str]:
    names, count = data.get("names"), data.get("nc")
    if names is None and isinstance(count, int) and 0 < count <= MAX_CLASSES:
        return {i: f"class_{i}" for i in range(count)}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise SourceError(f"{path} does not name its classes; it needs names: {{0: ..., 1: ...}} or a list.")
    by_id = {_class_id(path, key): _text(path, "class name", name) for key, name in names.items()}
    return dict(sorted(by_id.items()))


def _class_id(path: Path, key: Any) -> int:
    """A key of the names, which may be quoted."""
    if isinstance(key, str) and key.isdecimal() and len(key) < len(str(MAX_CLASSES)):
        return int(key)
    if type(key) is int and 0 <= key < MAX_CLASSES:
        return key
    raise SourceError(f"{path} has a class id that is not a number from 0 to {MAX_CLASSES - 1:,}.")


def _is_coco(parts: Sequence[Path], names: Mapping[int, str]) -> bool:
    """Ultralytics' test for COCO itself, whose category ids have gaps."""
    part = parts[0].resolve()
    itself = "coco" in str(part) and part.name in ("val2017.txt", "test-dev2017.txt")
    return itself and len(parts) == 1 and len(names) == len(COCO_IDS)


def _find_parts(path: Path, root: str, parts: Sequence[str]) -> list[Path]:
    """The folders of a split, or text files with one image per line.

    A relative root is looked for beside the YAML, then where Ultralytics looks: in the working directory
    and in ``datasets`` in or beside it.
    """
    places = [path.parent, Path(), Path("datasets"), Path("../datasets")]
    with suppress(RuntimeError):  # a home of an unknown user
        root = str(Path(root).expanduser())
    roots = [place / root for place in places]
    for base in roots:
        found = [_part(base, part) for part in parts]
        if all(each.exists() for each in found):
            return found
    looked = ", ".join(dict.fromkeys(str(base / parts[0]) for base in roots))
    raise SourceError(f"the images of {path} are not there; looked for {looked}.")


def _part(base: Path, part: str) -> Path:
    """A split's folder or list; one outside the dataset may mean a folder in it, as in Ultralytics.

    The YAML files of Roboflow say ``../valid/images`` for the ``valid/images`` beside them.
    """
    found = base / part
    return found if found.exists() or not part.startswith("../") else base / part.removeprefix("../")


def _images_of(part: Path) -> Iterable[Path]:
    """The images in a folder (without hidden ones) or in a text file, or the image itself."""
    if part.is_dir():
        files: Iterable[Path] = (file for file in _visible(part) if not file.is_dir())
    elif part.suffix.lower() in IMAGE_SUFFIXES:
        files = [part]
    else:
        try:
            text = read_plain_file(part).decode("utf-8-sig")
        except OSError as error:
            raise SourceError(f"{part} cannot be read: {reason(error)}.") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{part} is not a list of images in UTF-8: {error}.") from error
        if "\0" in text:
            raise SourceError(f"{part} is not a list of images in UTF-8: it holds a NUL character.")
        files = (
            part.parent / line[2:] if line.startswith("./") else Path(line)
            for line in map(str.strip, text.splitlines())
            if line
        )
    return (file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)


def _visible(folder: Path) -> Iterator[Path]:
    """Everything below a folder that is neither hidden nor in a hidden folder: no checkpoints, thumbnails."""
    for path in folder.rglob("*"):
        if not any(name.startswith(".") for name in path.relative_to(folder).parts):
            yield path


def _label_file(image: Path) -> Path:
    """Ultralytics' rule: the last folder named ``images`` on the way becomes ``labels``."""
    parts = list(image.parts)
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _is_missing(path: Path) -> bool:
    """Whether a file is missing; one without permission exists, and fails when it is read."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False
