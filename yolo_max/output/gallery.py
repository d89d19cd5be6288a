"""A run as one page that opens from the disk: thumbnails, filtered by class and confidence, counts, times.

The page holds what it says of every image, and the thumbnails beside it are read as they come into view, so
that it stays quick with tens of thousands of images. It asks nothing of the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from yolo_max.output.palette import class_color
from yolo_max.support.html import render
from yolo_max.tasks.task import Task

THUMBNAIL = 320
"""The longer side of a thumbnail in pixels: twice what the page gives it, for sharp screens."""
_TEMPLATE = Path(__file__).with_name("gallery.html")


def gallery(task: Task, names: Mapping[int, str], records: Iterable[Mapping[str, Any]]) -> bytes:
    """The page of a run.

    Args:
        task: The task.
        names: The model's class names by id.
        records: Those of the run (`yolo_max.output.records.record`), with their files.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(names.values()))}
    colors = {name: class_color(class_id) for class_id, name in reversed(list(names.items()))}
    times: dict[str, float] = {}
    images = []
    frames: dict[str, list[tuple[dict[str, Any], float]]] = {}  # of each video, with their seconds
    in_videos = 0
    for each in records:
        in_videos += "frame" in each
        images.append(_image(task, each, places))
        if "frame" in each:
            frames.setdefault(each["path"], []).append((images[-1], each.get("time", 0)))
        if "video" in each:
            for entry, seconds in frames.pop(each["path"]):
                entry.setdefault("annotated", f"{_address(each['video'])}#t={seconds}")
        for stage, milliseconds in each.get("times_ms", {}).items():
            times[stage] = times.get(stage, 0.0) + milliseconds
    read = sum("error" not in each for each in images)
    data = {
        "noun": "image" if not in_videos else "frame" if in_videos == len(images) else "picture",
        "counted": task.counted,
        "classes": [{"name": name, "color": f"#{bytes(colors[name][::-1]).hex()}"} for name in places],
        "times": {stage: round(total / max(read, 1), 2) for stage, total in times.items()},
        "images": images,
    }
    # What ends a script, or begins a comment in one, begins with "<".
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return render(_TEMPLATE, data=text).encode("utf-8", "replace")


def _image(task: Task, record: Mapping[str, Any], places: Mapping[str, int]) -> dict[str, Any]:
    """What the page knows of one image."""
    name = record["path"] + (f" · {record['frame']}" if "frame" in record else "")
    entry: dict[str, Any] = {"name": name}
    if "error" in record:
        return entry | {"error": record["error"]}
    found = sorted(task.found(record), key=lambda each: -each[1])
    entry["found"] = [[places[each], round(confidence, 3)] for each, confidence in found]
    entry["ms"] = round(sum(record.get("times_ms", {}).values()), 2)
    for key in ("thumbnail", "annotated"):
        if key in record:
            entry[key] = _address(record[key])
    return entry


def _address(name: str) -> str:
    """A file beside the page, as its address; a name need not be UTF-8."""
    return "/".join(quote(os.fsencode(part)) for part in PurePath(name).parts)
