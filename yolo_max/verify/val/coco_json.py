"""COCO's annotations in JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yolo_max.support.errors import SourceError
from yolo_max.support.plain_file import read_plain_file, reason
from yolo_max.support.text import counted
from yolo_max.verify.val.coordinates import coordinates
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.objects import Boxes, Example, Shape

_Object = tuple[int, tuple[float, ...], float, bool, Any]
"""Category; left, top, right, bottom in pixels; area in square pixels; whether it is a crowd; its shape."""


def load_coco_json(path: Path, folder: Path | None, kind: type[Shape] = Boxes) -> BoxDataset:
    """Reads annotations of boxes, and of what else is measured.

    An annotation that cannot be used is left out, and the dataset's problems say so.

    Args:
        path: The JSON file.
        folder: Folder of the images; if None, the usual places around the file are searched.
        kind: What of the objects to measure.

    Raises:
        SourceError: The file or its images are missing or damaged.
    """
    try:
        data = json.loads(read_plain_file(path))
        names = {int(category["id"]): str(category["name"]) for category in data["categories"]}
        images: dict[int, Mapping[str, Any]] = {int(image["id"]): image for image in data["images"]}
        files = {image_id: str(image["file_name"]) for image_id, image in images.items()}
        objects: dict[int, list[_Object]] = {image_id: [] for image_id in images}
        unusable: dict[int, list[str]] = {}
        shape = kind.of_json(path, data)
        for annotation in data["annotations"]:
            image_id = int(annotation["image_id"])
            objects.setdefault(image_id, [])
            try:
                objects[image_id].append(_object(annotation, shape))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                unusable.setdefault(image_id, []).append(f"{type(error).__name__}: {error}")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise SourceError(f"{path} is not COCO's json of boxes: {type(error).__name__}: {error}.") from error
    if unusable and not any(objects.values()):
        first = next(iter(unusable.values()))[0]
        raise SourceError(f"{path} is not COCO's json of boxes: {first}.")
    if not all(-(2**63) <= category < 2**63 for category in names):
        raise SourceError(f"{path} lists a category whose id has more than 64 bits.")
    if unknown := sorted({row[0] for rows in objects.values() for row in rows} - names.keys()):
        raise SourceError(f"{path} has annotations of categories that it does not list: {unknown}.")
    if unknown := sorted(objects.keys() - images.keys()):
        raise SourceError(f"{path} has annotations of images that it does not list: {unknown[:5]}.")
    if not images:
        raise SourceError(f"{path} lists no image.")
    root = _image_folder(path, folder, next(iter(files.values())))
    examples = tuple(
        _example(root / files[image_id], images[image_id], image_id, rows)
        for image_id, rows in sorted(objects.items())
    )
    problems = tuple(
        f"{counted(len(reasons), 'annotation')} of {files[image_id]} that cannot be used ({reasons[0]})"
        for image_id, reasons in unusable.items()
    )
    return BoxDataset(path, names, examples, problems, shape=shape)


def _object(annotation: Mapping[str, Any], shape: Shape) -> _Object:
    """Reads one annotation.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: It has no usable box or shape.
    """
    x, y, width, height = coordinates(annotation["bbox"]).tolist()
    if width < 0 or height < 0:
        raise ValueError(f"bbox {annotation['bbox']} is not a box")
    area = annotation.get("area")
    return (
        int(annotation["category_id"]),
        (x, y, x + width, y + height),
        math.nan if area is None else float(area),
        bool(annotation.get("iscrowd", 0)),
        shape.of_annotation(annotation),
    )


def _example(path: Path, image: Mapping[str, Any], image_id: int, rows: list[_Object]) -> Example:
    height, width = image.get("height"), image.get("width")
    return Example(
        path,
        image_id,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
        False,
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], bool),
        (height, width) if isinstance(height, int) and isinstance(width, int) else None,
        tuple(row[4] for row in rows),
    )


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
