"""What is written for each image of a run, besides its line in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_max.images.sources import SourceImage
from yolo_max.output.draw import draw
from yolo_max.output.encode import encode_image
from yolo_max.output.records import record
from yolo_max.predict.result import Result, timed
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import ImageError
from yolo_max.support.options import SaveOptions

LABELS_FOLDER = "labels"


def save_result(result: Result, source: SourceImage, out: Path, options: SaveOptions) -> dict[str, Any]:
    """Writes what belongs to one image.

    Args:
        result: Of the predictor; with its image, if images are to be written.
        source: Where the image comes from, and its places in the output tree.
        out: The root of the output tree.
        options: What to write.

    Returns:
        The record of the image (`yolo_max.output.records.record`), which also names what was written,
        relative to ``out``: "annotated", "labels".

    Raises:
        OutputError: A file cannot be written.
    """
    path, prediction = str(source.path), result.prediction
    if prediction is None:
        return record(path, error=result.error.reason if result.error else "it was not read")
    files: dict[str, str] = {}
    if options.save and result.image is not None:
        try:
            with timed(result, "draw"):
                annotated = draw(result.image, prediction.marks(), options)
            with timed(result, "encode"):
                data = encode_image(annotated, source.annotated.suffix)
        except ImageError as error:
            return record(path, error=error.reason)
        with timed(result, "write"):
            write_atomically(out / source.annotated, data)
        files["annotated"] = str(source.annotated)
    if options.labels:
        labels = Path(LABELS_FOLDER) / source.labels
        write_atomically(out / labels, prediction.labels(confidence=options.save_conf).encode())
        files["labels"] = str(labels)
    return record(path, prediction=prediction, times_ms=result.times_ms if options.times else None) | files


def is_there(record: Mapping[str, Any], out: Path) -> bool:
    """Whether all that a record names is there, and has survived (a power cut leaves empty images)."""
    try:
        return ("annotated" not in record or (out / record["annotated"]).stat().st_size > 0) and (
            "labels" not in record or (out / record["labels"]).is_file()
        )
    except OSError:
        return False
