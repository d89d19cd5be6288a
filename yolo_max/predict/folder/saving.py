"""Saving: what is written for each image of a run, besides its line in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_max.images.sources import SourceImage
from yolo_max.output.draw import draw
from yolo_max.output.encode import encode_image
from yolo_max.output.records import record
from yolo_max.predict.result import Result, timed
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import ImageError, UsageError

LABELS_FOLDER = "labels"


@dataclass(frozen=True)
class Saving:
    """What to write; named as the options of the command line.

    Attributes:
        save: Annotated images, in the tree of the sources.
        save_txt: Labels as text, one file per image (empty where nothing was found), in a tree of their own.
        save_conf: The confidence on each line of the labels.
        save_csv: One table of all that was found, when the run ends.
        times: The stage times of each image in its record; without them, equal runs give equal bytes.
        line_width: Of the boxes, in pixels; by the size of the image when absent.

    Raises:
        UsageError: The line width is less than 1.
    """

    save: bool = True
    save_txt: bool = False
    save_conf: bool = False
    save_csv: bool = False
    times: bool = True
    line_width: int | None = None

    def __post_init__(self) -> None:
        if self.line_width is not None and self.line_width < 1:
            raise UsageError(f"line_width is {self.line_width}, but it must be at least 1.")

    def write(self, result: Result, source: SourceImage, out: Path) -> dict[str, Any]:
        """Writes what belongs to one image.

        Args:
            result: Of the predictor; with its image, if images are to be written.
            source: Where the image comes from, and its places in the output tree.
            out: The root of the output tree.

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
        if self.save and result.image is not None:
            try:
                with timed(result, "draw"):
                    annotated = draw(result.image, prediction.marks(), line_width=self.line_width)
                with timed(result, "encode"):
                    data = encode_image(annotated, source.annotated.suffix)
            except ImageError as error:
                return record(path, error=error.reason)
            with timed(result, "write"):
                write_atomically(out / source.annotated, data)
            files["annotated"] = str(source.annotated)
        if self.save_txt:
            labels = Path(LABELS_FOLDER) / source.labels
            write_atomically(out / labels, prediction.labels(confidence=self.save_conf).encode())
            files["labels"] = str(labels)
        return record(path, prediction=prediction, times_ms=result.times_ms if self.times else None) | files


def is_there(record: Mapping[str, Any], out: Path) -> bool:
    """Whether all that a record names is there, and has survived (a power cut leaves empty images)."""
    try:
        return ("annotated" not in record or (out / record["annotated"]).stat().st_size > 0) and (
            "labels" not in record or (out / record["labels"]).is_file()
        )
    except OSError:
        return False
