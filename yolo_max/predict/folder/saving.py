"""What is written for each image of a run, besides its line in the manifest."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_max.images.memory import MemoryBudget
from yolo_max.images.sources import SourceImage
from yolo_max.output.draw import draw
from yolo_max.output.encode import encode_image
from yolo_max.output.records import record
from yolo_max.predict.folder.output_tree import OutputTree
from yolo_max.predict.result import Result, contained, timed
from yolo_max.support.errors import ImageError, OutputError
from yolo_max.support.options import SaveOptions
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.task import Task

LABELS_FOLDER = "labels"
_OF_ONE_PATH = {
    errno.EACCES,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
}
"""Errors of one path in the output folder; any other would meet the next image too."""


_DRAWING = MemoryBudget(2**30)
"""For drawing on images, on all threads together."""
_DRAWING_BYTES_PER_PIXEL = 12
"""The image, if read again, the copy that is drawn on, the encoded one, at most as large, and a mask."""


def save_result(result: Result, source: SourceImage, out: OutputTree, options: SaveOptions) -> dict[str, Any]:
    """Writes the files of one image: all, or none where one cannot be written.

    Args:
        result: The predictor's; with its image, if images are to be written.
        source: Where the image comes from, and its paths in the output tree.
        out: The output folder.
        options: What to write.

    Returns:
        The record of the image (`yolo_max.output.records.record`), with the files written, relative to
        ``out``: "annotated", "labels".

    Raises:
        OutputError: A file cannot be written, for a reason that would meet other images too.
    """
    path, prediction = str(source.path), result.prediction
    if prediction is None:
        return record(path, error=result.error.reason if result.error else "it was not read")
    files: dict[str, str] = {}
    try:
        if options.save:
            data = _annotated(result, prediction, source, options)
            with timed(result, "write"):
                _write(out, source.annotated, data)
            files["annotated"] = str(source.annotated)
        if options.labels:
            labels = Path(LABELS_FOLDER) / source.labels
            _write(out, labels, prediction.labels(confidence=options.save_conf).encode())
            files["labels"] = str(labels)
    except ImageError as error:
        for name in files.values():
            out.remove(Path(name))
        return record(path, error=error.reason, unsaved=True)
    done = record(
        path,
        prediction=prediction,
        times_ms=result.times_ms if options.times else None,
        frames=result.frames,
        max_det_reached=result.max_det_reached,
    )
    return done | files


def is_done(record: Mapping[str, Any], out: Path, task: Task, names: Mapping[int, str]) -> bool:
    """Whether a line of a manifest shows that an image is done.

    Args:
        record: The line; it may hold anything besides its path.
        out: The root of the output tree.
        task: The run's task.
        names: The model's class names by id.

    Returns:
        Whether it is a whole `yolo_max.output.records.record` of the task, the files that it names exist, and
        no image is empty (as a power cut leaves them).
    """
    try:
        if not all(math.isfinite(each) for each in record["times_ms"].values()):
            return False
        if record.get("frames", 2) < 2:
            return False
        if "error" in record:
            return isinstance(record["error"], str)
        prediction = task.prediction.from_dict(record, names)
        return (
            all(isinstance(side, int) for side in prediction.image_size)
            and prediction.to_dict().items() <= record.items()
            and ("annotated" not in record or (out / record["annotated"]).stat().st_size > 0)
            and ("labels" not in record or (out / record["labels"]).is_file())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return False


def _annotated(result: Result, prediction: Prediction, source: SourceImage, options: SaveOptions) -> bytes:
    height, width = prediction.image_size
    with _DRAWING.lease(height * width * _DRAWING_BYTES_PER_PIXEL):
        with contained(result, "draw"):
            image = result.image
            assert image is not None  # a run that draws keeps images
            if image.shape[:2] != prediction.image_size:
                raise ImageError("it changed while it was processed")
            image = draw(image, prediction.marks(), options)
        with contained(result, "encode"):
            return encode_image(image, source.annotated.suffix)


def _write(out: OutputTree, place: Path, data: bytes) -> None:
    """Writes a file of one image.

    Raises:
        ImageError: It cannot be written, and that concerns this file only.
        OutputError: It cannot be written, for another reason.
    """
    try:
        out.write(place, data)
    except OutputError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _OF_ONE_PATH:
            raise ImageError(f"{place} cannot be written for it ({cause.strerror})") from error
        raise
