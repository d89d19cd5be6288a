"""Labelled images to measure accuracy on: Ultralytics' datasets (a YAML and YOLO labels) and COCO's json.

What cannot be used is never silently dropped: an image whose label file makes no sense is left out, as
Ultralytics does, and the reason is kept for whoever reports the measurement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.suffixes import IMAGE_SUFFIXES
from yolo_max.support.errors import SourceError, UsageError

TOLERANCE = 0.01
"""How far outside the image a normalised label may reach, as in Ultralytics."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image and what is in it.

    Attributes:
        path: The image.
        image_id: COCO's id of it, or its number in the dataset from 1 on.
        class_id: int64 [N], ids of the dataset's own classes.
        xyxy: float64 [N, 4] left, top, right, bottom: in [0, 1] of the image's width and height when
            ``normalised``, else in pixels of the image as displayed.
        normalised: See ``xyxy``.
        area: float64 [N], square pixels of each object; NaN where it is that of its box.
        crowd: bool [N]: a region that holds many objects, in which detections are neither right nor wrong.
    """

    path: Path
    image_id: int
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    normalised: bool
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]

    def pixels(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """The boxes, float64 [N, 4], in pixels of an image of ``image_size`` (height, width)."""
        if not self.normalised:
            return self.xyxy
        height, width = image_size
        boxes: NDArray[np.float64] = self.xyxy * np.array([width, height, width, height])
        return boxes


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes:
        path: The YAML or json that describes it.
        names: Class names by the dataset's own class ids.
        examples: The images that can be used.
        problems: A sentence for each image that cannot, since its labels are junk.
        unlabelled: How many images have no label file, and count as background.
    """

    path: Path
    names: Mapping[int, str]
    examples: tuple[Example, ...]
    problems: tuple[str, ...] = field(default=())
    unlabelled: int = 0


def load_dataset(path: Path, split: str = "val", images: Path | None = None) -> Dataset:
    """Loads a dataset.

    Args:
        path: An Ultralytics dataset's `.yaml`, or annotations in COCO's `.json`.
        split: Which split of a YAML.
        images: Folder with the images of a json; looked for around it when absent.

    Raises:
        SourceError: The file, its images or all of their labels are missing or damaged.
        UsageError: It has no such split.
    """
    if path.suffix.lower() == ".json":
        return _load_coco(path, images)
    if images is not None:
        raise UsageError(
            "a folder of images can only be given for annotations in json; a YAML names its own."
        )
    return _load_yaml(path, split)


def read_labels(path: Path, names: Mapping[int, str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Reads a YOLO label file: a line ``class x_center y_center width height`` an object, in [0, 1].

    A line with more numbers is a polygon, ``class x1 y1 x2 y2 x3 y3 ...``, and means the box around it. The
    rules are Ultralytics': lines that repeat count once, and the image may be left by `TOLERANCE`.

    Args:
        path: The file; where there is none, nothing is in the image.
        names: Class names by id.

    Returns:
        int64 [N] class ids, and float64 [N, 4] left, top, right, bottom in [0, 1].

    Raises:
        ValueError: A line makes no sense; the message says which and why.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    rows: dict[tuple[float, ...], None] = {}  # a dict keeps the order and each row once
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows[_label(line.split(), number, names)] = None
    table = np.array(list(rows), np.float64).reshape(-1, 5)
    return table[:, 0].astype(np.int64), table[:, 1:]


def _label(words: list[str], number: int, names: Mapping[int, str]) -> tuple[float, ...]:
    try:
        class_id, *values = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"has something other than numbers in line {number}") from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"has {len(words)} numbers in line {number}, where a box has 5")
    if not class_id.is_integer() or int(class_id) not in names:
        raise ValueError(
            f"has class {class_id:g} in line {number}, but the dataset's classes run from {min(names)} to "
            f"{max(names)}"
        )
    # Written so that NaN fails as well.
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise ValueError(f"has a number outside 0 to 1 in line {number}")
    if len(values) == 4:
        x, y, width, height = values
        if width < 0 or height < 0:
            raise ValueError(f"has a box of negative size in line {number}")
        return class_id, x - width / 2, y - height / 2, x + width / 2, y + height / 2
    xs, ys = values[0::2], values[1::2]
    return class_id, min(xs), min(ys), max(xs), max(ys)


def _load_yaml(path: Path, split: str) -> Dataset:
    import yaml  # type: ignore[import-untyped]

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, ValueError) as error:  # no text, or a date that there is not
        raise SourceError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(data, dict):
        raise SourceError(f"{path} does not describe a dataset; it needs the keys path, val and names.")
    if "validation" in data:
        data.setdefault("val", data["validation"])
    names = _names(path, data)
    if not data.get(split):
        splits = [name for name in ("train", "val", "test") if data.get(name)]
        raise UsageError(f"{path} has no split {split!r}; it has {', '.join(splits) or 'none'}.")
    parts = data[split] if isinstance(data[split], list) else [data[split]]
    examples, problems = [], []
    images = _yaml_images(path, str(data.get("path") or ""), list(map(str, parts)))
    unlabelled = [image for image in images if _is_missing(_label_file(image))]
    if len(unlabelled) == len(images):
        raise SourceError(f"no image of {path} has a label file; looked for {_label_file(images[0])}, ...")
    for number, image in enumerate(images, 1):
        labels = _label_file(image)
        try:
            class_id, xyxy = read_labels(labels, names)
        except (ValueError, OSError) as error:
            problems.append(f"{labels} {error if isinstance(error, ValueError) else 'cannot be read'}")
            continue
        count = len(class_id)
        area, crowd = np.full(count, np.nan), np.zeros(count, bool)
        examples.append(Example(image, number, class_id, xyxy, True, area, crowd))
    return Dataset(path, names, tuple(examples), tuple(problems), len(unlabelled))


def _names(path: Path, data: Mapping[str, Any]) -> dict[int, str]:
    names = data.get("names")
    if names is None and isinstance(data.get("nc"), int) and data["nc"] > 0:
        return {i: f"class_{i}" for i in range(data["nc"])}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(k, int) and k >= 0 for k in names):
        raise SourceError(f"{path} does not name its classes; it needs names: {{0: ..., 1: ...}} or a list.")
    return {class_id: str(name) for class_id, name in sorted(names.items())}


def _yaml_images(path: Path, root: str, parts: list[str]) -> list[Path]:
    """The images of a split, sorted; each part is a folder, or a text file with an image a line.

    A relative root is looked for beside the YAML, then where Ultralytics looks: in the working directory
    and in ``datasets`` in or beside it.
    """
    places = [path.parent, Path(), Path("datasets"), Path("../datasets")]
    with suppress(RuntimeError):  # the home of a user that there is not
        root = str(Path(root).expanduser())
    roots = [place / root for place in places]
    for base in roots:
        found = [_part(base, part) for part in parts]
        if all(each.exists() for each in found):
            break
    else:
        looked = ", ".join(dict.fromkeys(str(base / parts[0]) for base in roots))
        raise SourceError(f"the images of {path} are not there; looked for {looked}.")
    images = sorted(image for each in found for image in _images_of(each))
    if not images:
        raise SourceError(f"{' and '.join(map(str, found))} holds no image.")
    return images


def _part(base: Path, part: str) -> Path:
    """A split's folder or list. One that leaves the dataset may mean a folder in it, as in Ultralytics.

    The YAML files of Roboflow say ``../valid/images`` for the ``valid/images`` beside them.
    """
    found = base / part
    return found if found.exists() or not part.startswith("../") else base / part.removeprefix("../")


def _images_of(part: Path) -> Iterable[Path]:
    """The images in a folder, but for hidden ones, or those that a text file names, or the one that it is."""
    if part.is_dir():
        files: Iterable[Path] = (file for file in _visible(part) if file.is_file())
    elif part.suffix.lower() in IMAGE_SUFFIXES:
        files = [part]
    else:
        try:
            lines = part.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise SourceError(f"{part} cannot be read: {error.strerror or error}.") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{part} is no list of images in UTF-8: {error}.") from error
        files = (
            part.parent / line[2:] if line.startswith("./") else Path(line)
            for line in map(str.strip, lines)
            if line
        )
    return (file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)


def _visible(folder: Path) -> Iterator[Path]:
    """Everything below a folder, but what is hidden or lies in a hidden folder: checkpoints, thumbnails."""
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
    """Whether there is no such file; one that may not be looked at is there, and says so when it is read."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _load_coco(path: Path, folder: Path | None) -> Dataset:
    try:
        data = json.loads(path.read_bytes())
        names = {int(category["id"]): str(category["name"]) for category in data["categories"]}
        images = {int(image["id"]): str(image["file_name"]) for image in data["images"]}
        objects: dict[int, list[Any]] = {image_id: [] for image_id in images}
        for annotation in data["annotations"]:
            x, y, width, height = map(float, annotation["bbox"])
            row = (
                int(annotation["category_id"]),
                (x, y, x + width, y + height),
                float(annotation.get("area", width * height)),
                bool(annotation.get("iscrowd", 0)),
            )
            objects.setdefault(int(annotation["image_id"]), []).append(row)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise SourceError(f"{path} is not COCO's json of boxes: {type(error).__name__}: {error}.") from error
    if unknown := sorted({row[0] for rows in objects.values() for row in rows} - names.keys()):
        raise SourceError(f"{path} has annotations of categories that it does not list: {unknown}.")
    if unknown := sorted(objects.keys() - images.keys()):
        raise SourceError(f"{path} has annotations of images that it does not list: {unknown[:5]}.")
    if not images:
        raise SourceError(f"{path} lists no image.")
    root = _image_folder(path, folder, next(iter(images.values())))
    examples = tuple(
        Example(
            root / images[image_id],
            image_id,
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
            False,
            np.array([row[2] for row in rows], np.float64),
            np.array([row[3] for row in rows], bool),
        )
        for image_id, rows in sorted(objects.items())
    )
    return Dataset(path, names, examples)


def _image_folder(path: Path, folder: Path | None, file_name: str) -> Path:
    """Where the images of a json are: the folder given, or one of the usual places around the json."""
    if folder is not None:
        if not (folder / file_name).exists():
            raise SourceError(f"{path} lists {file_name}, which is not in {folder}.")
        return folder
    split = re.sub(r"^instances_", "", path.stem)
    base = path.parent
    places = [
        base,
        base / "images",
        base.parent / "images",
        base.parent / split,
        base.parent / "images" / split,
    ]
    for place in places:
        if (place / file_name).exists():
            return place
    raise SourceError(
        f"{path} lists {file_name}, which is not in {', '.join(map(str, places))}; say where with --images."
    )
