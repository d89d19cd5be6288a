"""Results as files: annotated images, records for JSON lines, YOLO labels, CSV.

Every file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.detections import Detections
from yolo_max.errors import ImageError, OutputError

TEMPORARY_PREFIX = ".yolo-max-"
"""Of the files that are being written; what a killed process leaves of them may be deleted."""

QUALITY = 95
_ENCODINGS: dict[str, tuple[str, list[int]]] = {
    ".jpg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jpe": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".jfif": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    ".png": (".png", []),
    ".webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, QUALITY]),
    ".bmp": (".bmp", []),
    ".tif": (".tiff", []),
    ".tiff": (".tiff", []),
    ".jp2": (".jp2", []),
}


def annotated_name(name: str) -> str:
    """The file name of an annotated image: its own, in the format that its suffix says.

    What OpenCV cannot write (GIF, AVIF, MPO, no suffix or an unknown one) becomes a PNG, and says so by a
    second suffix: ``a.gif`` becomes ``a.gif.png``.
    """
    return name if Path(name).suffix.lower() in _ENCODINGS else f"{name}.png"


def encode_image(image_bgr: NDArray[np.uint8], suffix: str) -> bytes:
    """Encodes an image in the format of a suffix of `annotated_name`; JPEG and WebP at quality 95.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
        suffix: Such as ".jpg", in any case.

    Raises:
        ImageError: The format cannot hold an image of this size (WebP ends at 16383 pixels a side).
    """
    format_suffix, parameters = _ENCODINGS[suffix.lower()]
    try:
        encoded, data = cv2.imencode(format_suffix, image_bgr, parameters)
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = image_bgr.shape[:2]
        raise ImageError(f"its annotated image of {width} x {height} pixels cannot be written as {suffix}")
    return data.tobytes()


def write_image(path: Path, image_bgr: NDArray[np.uint8]) -> None:
    """Writes an image in the format of the path's suffix (see `annotated_name`), atomically.

    Raises:
        ImageError: The format cannot hold the image.
        OutputError: The file cannot be written.
    """
    write_atomically(path, encode_image(image_bgr, path.suffix))


def write_atomically(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Writes a file that is either there whole or not at all, whatever happens meanwhile.

    The data goes into a file beside it that is then renamed into place, so that a link that lies there is
    replaced and never written through. Missing folders are made.

    Args:
        path: Where the file shall be.
        data: All of its content.
        sync: Whether to wait until the disk has it, so that it outlives a power cut.

    Raises:
        OutputError: It cannot be written; nothing is left behind.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        try:
            file = _create(temporary)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _create(temporary)
        try:
            with os.fdopen(file, "wb", 0) as stream:
                view = memoryview(data)
                while view:
                    view = view[stream.write(view) :]
                if sync:
                    os.fsync(file)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error of a path that could not be written."""
    return OutputError(f"{path} cannot be written: {error.strerror or error}.")


def record(
    path: str,
    *,
    detections: Detections | None = None,
    error: str | None = None,
    times_ms: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What became of one image, in plain JSON types: a line of ``detections.jsonl``.

    Args:
        path: The image as it was named.
        detections: What was found in it.
        error: Why it could not be read; exactly one of the two is given.
        times_ms: Milliseconds by stage.

    Returns:
        ``{"path", "image_size": [height, width], "boxes": [{"class_id", "class_name", "confidence",
        "xyxy"}, ...], "times_ms"}``, or ``{"path", "error", "times_ms"}`` for an image that failed.
        ``Detections.from_dict`` reads the former back, bit for bit.
    """
    if (detections is None) == (error is None):
        raise ValueError("A record has either detections or an error.")
    outcome: dict[str, Any] = {"error": error} if detections is None else detections.to_dict()
    times = {stage: round(value, 3) for stage, value in (times_ms or {}).items()}
    return {"path": path, **outcome, "times_ms": times}


def yolo_labels(detections: Detections, *, confidence: bool = False) -> str:
    """The detections in the label format of YOLO data sets, as Ultralytics' ``save_txt`` writes it.

    Args:
        detections: Of one image.
        confidence: Whether to end each line with it (``save_conf``).

    Returns:
        A line ``class x y width height [confidence]`` a box: centre and size, as fractions of the image's.
    """
    height, width = detections.image_size
    x1, y1, x2, y2 = detections.xyxy.T
    size = np.float32(width), np.float32(height)
    columns = [
        detections.class_id,
        (x1 + x2) / 2 / size[0],
        (y1 + y2) / 2 / size[1],
        (x2 - x1) / size[0],
        (y2 - y1) / size[1],
    ]
    if confidence:
        columns.append(detections.confidence)
    return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in zip(*columns, strict=True))


CSV_COLUMNS = ("path", "class_id", "class_name", "confidence", "x1", "y1", "x2", "y2")


def csv_header() -> str:
    """The first line of a CSV file of detections (RFC 4180)."""
    return _csv_line(CSV_COLUMNS)


def csv_rows(result: Mapping[str, Any]) -> str:
    """The CSV lines of a `record`, one a box in image pixels; none for an image that failed."""
    return "".join(
        _csv_line((result["path"], box["class_id"], box["class_name"], box["confidence"], *box["xyxy"]))
        for box in result.get("boxes", ())
    )


def _csv_line(values: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
