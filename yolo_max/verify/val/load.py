"""Datasets for detection, by the suffix of their file."""

from __future__ import annotations

from pathlib import Path

from yolo_max.support.errors import SourceError, UsageError
from yolo_max.support.plain_file import reason
from yolo_max.verify.val.coco_json import load_coco_json
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.objects import Boxes, Shape
from yolo_max.verify.val.yolo_dataset import load_yolo_dataset


def load_dataset(
    path: Path, split: str = "val", images: Path | None = None, kind: type[Shape] = Boxes
) -> BoxDataset:
    """Loads a dataset.

    Args:
        path: An Ultralytics dataset's `.yaml`, or annotations in COCO's `.json`.
        split: The split of a YAML.
        images: Folder of the images of a JSON; by default searched for around it.
        kind: What of the objects to measure.

    Raises:
        SourceError: The file, its images or all of their labels are missing or damaged.
        UsageError: The split does not exist.
    """
    if path.is_dir():
        inside = next(iter(sorted(path.glob("*.yaml"))), None)
        example = f", such as {inside}" if inside else ""
        raise SourceError(
            f"{path} is a folder; to measure a detector, give its dataset's YAML or COCO's json{example}."
        )
    try:
        if path.suffix.lower() == ".json":
            return load_coco_json(path, images, kind)
        if images is not None:
            raise UsageError(
                "a folder of images can only be given for annotations in JSON; a YAML names its own."
            )
        return load_yolo_dataset(path, split, kind)
    except OSError as error:  # of a path in it, for example one that is too long
        raise SourceError(f"{path} names a file that cannot be looked up: {reason(error)}.") from error
