"""Datasets for the tests, as Ultralytics lays them out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from fakes import write_image

NAMES = {0: "disc", 1: "square"}


def write_dataset(root: Path, labels: dict[str, str | None], **description: Any) -> Path:
    """A YAML, an image for each entry, and a label file where there is text for one."""
    for name, text in labels.items():
        write_image(root / "images" / "val" / f"{name}.png", seed=0)
        if text is not None:
            file = root / "labels" / "val" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump({"path": ".", "val": "images/val", "names": NAMES, **description}))
    return path


def make_fifo(path: Path) -> None:
    """A pipe, which nobody writes to."""
    os.mkfifo(path)


def make_device(path: Path) -> None:
    """A link to a device that has no end."""
    path.symlink_to("/dev/zero")
