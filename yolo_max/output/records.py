"""What a run says of an image: its record, a line of JSON; its id in COCO's form; lines of CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_max.tasks.contract import Prediction

ESCAPED = tuple("=+-@\t\r\n＝＋－＠'")
"""How formulas begin (OWASP, "CSV Injection"), and the apostrophe that escapes them."""


def record(
    path: str,
    *,
    prediction: Prediction | None = None,
    error: str | None = None,
    times_ms: Mapping[str, float] | None = None,
    frames: int = 1,
    frame: int | None = None,
    time: float | None = None,
    last: bool = False,
    max_det_reached: bool = False,
    unsaved: bool = False,
) -> dict[str, Any]:
    """The outcome of one image in plain JSON types: a line of the manifest.

    Args:
        path: The image's path as given.
        prediction: Its prediction; or
        error: why there is none. Exactly one of the two is given.
        times_ms: Milliseconds per stage.
        frames: How many frames or pages the image's file holds; noted if there are several.
        frame: Of a frame of a video, its index, from 0; noted with
        time: its seconds from the start, if the video has times; and
        last: whether no other frame of the video follows.
        max_det_reached: Whether there may be more than were found; noted if so.
        unsaved: Whether the image was read and could not be drawn or written; noted if so.

    Returns:
        ``{"path", **prediction.to_dict(), "times_ms"}``; for an image that failed ``{"path", "error",
        "times_ms"}``; and what is noted. The prediction's ``from_dict`` restores it, bit for bit.
    """
    if (prediction is None) == (error is None):
        raise ValueError("A record has either a prediction or an error.")
    outcome: dict[str, Any] = {"error": error} if prediction is None else prediction.to_dict()
    if frames > 1:
        outcome["frames"] = frames
    flags = {"last": last, "max_det_reached": max_det_reached, "unsaved": unsaved}
    times = {stage: round(value, 3) for stage, value in (times_ms or {}).items()}
    place: dict[str, Any] = {} if frame is None else {"frame": frame}
    if time is not None:
        place["time"] = round(time, 6)
    return {
        "path": path,
        **place,
        **outcome,
        **{name: True for name, flag in flags.items() if flag},
        "times_ms": times,
    }


def image_id_of(path: str | os.PathLike[str], frame: int | None = None) -> int | str:
    """COCO's id of an image: its file's name without suffix, as a number if it is one, as in Ultralytics.

    Args:
        path: The image.
        frame: Of a frame of a video its index, which is added to the video's name.
    """
    stem = Path(path).stem
    if frame is not None:
        return f"{stem}_{frame}"
    return int(stem) if stem.isascii() and stem.isdecimal() else stem


def csv_line(values: Iterable[object]) -> str:
    """A line of a CSV file (RFC 4180).

    Text that a spreadsheet would run as a formula gets an apostrophe in front, as does text that begins with
    one: without its first apostrophe, every text is as it was.

    Args:
        values: Its cells; one that is None is empty.
    """
    line = io.StringIO()
    csv.writer(line).writerow([_escaped(value) for value in values])
    return line.getvalue()


def _escaped(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(ESCAPED) else value
