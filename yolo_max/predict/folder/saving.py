"""What is written for each image of a run, besides its line in the manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.frame import Position
from yolo_max.images.memory import MemoryBudget
from yolo_max.images.source import Source, SourceImage
from yolo_max.output.crops import crop, encode_crop
from yolo_max.output.draw import draw
from yolo_max.output.encode import encode_image, shrunk
from yolo_max.output.gallery import THUMBNAIL
from yolo_max.output.records import record
from yolo_max.output.video import VideoWriter
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.predict.folder.output_tree import OutputTree, of_one_path
from yolo_max.predict.result import Result, contained, timed
from yolo_max.support.errors import ImageError, OutputError
from yolo_max.support.options import SaveOptions
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.marks import Marks
from yolo_max.tasks.task import Task

LABELS_FOLDER = Path("labels")
_DRAWING = MemoryBudget(2**30)
"""For drawing on images, on all threads together."""
_DRAWING_BYTES_PER_PIXEL = 12
"""The image, if read again, the copy that is drawn on, the encoded one, at most as large, and a mask."""


def save_result(
    result: Result, source: Source, out: OutputTree, options: SaveOptions, names: CropNames
) -> tuple[dict[str, Any], Any]:
    """Writes the files of one image or frame: all, or none where one cannot be written.

    Args:
        result: The predictor's; with its image, if it is to be drawn on.
        source: Where it comes from, and its paths in the output tree.
        out: The output folder.
        options: What to write.
        names: Where crops and thumbnails go.

    Returns:
        The record of the image (`yolo_max.output.records.record`), with the files written, relative to
        ``out``: "annotated", "thumbnail", "labels", "crops"; and of a frame that is drawn what
        `yolo_max.output.video.VideoWriter.write` takes, else None.

    Raises:
        OutputError: A file cannot be written, for a reason that would meet other images too.
    """
    path, prediction, position = source.name, result.prediction, result.frame
    place = {} if position is None else _place(position)
    if prediction is None:
        return record(path, error=result.error.reason if result.error else "it was not read", **place), None
    picture, labels = _targets(source, position, options)
    in_video = position is not None and options.save
    files: dict[str, Any] = {}
    frame = None
    try:
        if picture or in_video or options.gallery:
            data, frame, small = _annotated(result, prediction, picture, options, in_video=in_video)
            if picture:
                with timed(result, "write"):
                    _write(out, picture, data)
                files["annotated"] = str(picture)
            if options.gallery:
                spot = names.thumbnail(source, position)
                _write(out, spot, small)
                files["thumbnail"] = str(spot)
        if options.save_crop:
            files["crops"] = []
            for spot, data in _crops(result, prediction, source, names):
                _write(out, spot, data)
                files["crops"].append(str(spot))
        if labels:
            _write(out, labels, prediction.labels(confidence=options.save_conf).encode())
            files["labels"] = str(labels)
    except ImageError as error:
        for name in (*files.pop("crops", ()), *files.values()):
            out.remove(Path(name))
        return record(path, error=error.reason, unsaved=True, **place), None
    done = record(
        path,
        prediction=prediction,
        times_ms=result.times_ms if options.times else None,
        frames=result.frames,
        max_det_reached=result.max_det_reached,
        **place,
    )
    return done | files, frame


def _place(position: Position) -> dict[str, Any]:
    time = None if position.time is None else float(position.time)
    return {"frame": position.index, "time": time, "last": position.last}


def _targets(
    source: Source, position: Position | None, options: SaveOptions
) -> tuple[Path | None, Path | None]:
    """Where the annotated image and the labels of an image or frame go, if they are written."""
    if isinstance(source, SourceImage):
        picture, labels, draws = source.annotated, source.labels, options.save
    else:
        number = 0 if position is None else position.number
        picture = source.frames / f"{source.path.stem}_{number}.jpg"
        labels, draws = source.labels.with_name(f"{source.labels.name}_{number}.txt"), options.save_frames
    return picture if draws else None, LABELS_FOLDER / labels if options.labels else None


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
        if not isinstance(record.get("frame", 0), int):
            return False
        if "video" in record and not (out / record["video"]).stat().st_size:
            return False
        if "error" in record:
            return isinstance(record["error"], str)
        prediction = task.prediction.from_dict(record, names)
        return (
            all(isinstance(side, int) for side in prediction.image_size)
            and prediction.to_dict().items() <= record.items()
            and ("annotated" not in record or (out / record["annotated"]).stat().st_size > 0)
            and ("thumbnail" not in record or (out / record["thumbnail"]).stat().st_size > 0)
            and ("labels" not in record or (out / record["labels"]).is_file())
            and all((out / place).stat().st_size > 0 for place in record.get("crops", ()))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return False


def _annotated(
    result: Result, prediction: Prediction, picture: Path | None, options: SaveOptions, *, in_video: bool
) -> tuple[bytes, Any, bytes]:
    """The annotated image as a file, as a frame, and small.

    The first is empty without a place for it, the second None unless it is one of a video, and the last empty
    unless a gallery needs it.
    """
    height, width = prediction.image_size
    with _DRAWING.lease(height * width * _DRAWING_BYTES_PER_PIXEL):
        with contained(result, "draw"):
            image = result.image
            assert image is not None  # a run that draws keeps images
            if image.shape[:2] != prediction.image_size:
                raise ImageError("it changed while it was processed")
            marks = replace(prediction.marks(), trails=result.trails)
            small = _thumbnail(image, marks, options) if options.gallery else image
            if picture or in_video:
                image = draw(image, marks, options, in_place=not options.save_crop)
        with contained(result, "encode"):
            data = encode_image(image, picture.suffix) if picture else b""
            thumbnail = encode_image(small, ".jpg") if options.gallery else b""
            return data, VideoWriter.prepare(image) if in_video else None, thumbnail


def _thumbnail(image_bgr: NDArray[np.uint8], marks: Marks, options: SaveOptions) -> NDArray[np.uint8]:
    """The image made small, then drawn on: without labels, which nobody could read; the page has them."""
    small = shrunk(image_bgr, THUMBNAIL)
    options = replace(options, show_labels=options.show_labels and not marks.boxes, line_width=None)
    return draw(small, marks.scaled(max(small.shape) / max(image_bgr.shape)), options)


def _crops(
    result: Result, prediction: Prediction, source: Source, names: CropNames
) -> Iterator[tuple[Path, bytes]]:
    """A picture of each object that has pixels, and its place."""
    image = result.image
    assert image is not None  # a run that needs images keeps them
    if image.shape[:2] != prediction.image_size:
        raise ImageError("it changed while it was processed")
    marks = prediction.marks().boxes
    classes = (prediction.names[mark.class_id] for mark in marks)
    for mark, place in zip(marks, names.of(source, result.frame, classes), strict=True):
        with contained(result, "crop"):
            pixels = crop(image, mark)
            data = encode_crop(pixels) if pixels.size else b""
        if data:
            yield place, data


def _write(out: OutputTree, place: Path, data: bytes) -> None:
    """Writes a file of one image.

    Raises:
        ImageError: It cannot be written, and that concerns this file only.
        OutputError: It cannot be written, for another reason.
    """
    try:
        out.write(place, data)
    except OutputError as error:
        only = of_one_path(place, error)
        if only is None:
            raise
        raise only from error
