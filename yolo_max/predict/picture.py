"""Predictions drawn on their images."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.read import ImageSource, read_image
from yolo_max.output.crops import crop, encode_crop, folder_of
from yolo_max.output.draw import AUTOMATIC
from yolo_max.output.draw import draw as draw_marks
from yolo_max.output.encode import encode_image, shrunk, write_image
from yolo_max.support.atomic import cannot_write, write_atomically
from yolo_max.support.errors import UsageError
from yolo_max.support.option import with_keywords
from yolo_max.support.options import DrawOptions
from yolo_max.support.text import shorten
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.marks import TrailMark


@with_keywords(DrawOptions)
def draw(
    image: ImageSource, prediction: Prediction, *, trails: tuple[TrailMark, ...] = (), **options: Any
) -> NDArray[np.uint8]:
    """Draws a prediction on a copy of its image.

    Args:
        image: The image that was given to the predictor.
        prediction: What was found in it.
        trails: The ways that tracked objects have come.
        **options: See `yolo_max.support.options.DrawOptions`.

    Returns:
        uint8 [H, W, 3] BGR.

    Raises:
        UsageError: The image's size is not the prediction's, or an argument is of another type.
        ImageError: The image cannot be read.
    """
    if not isinstance(prediction, Prediction):
        raise UsageError(f"{shorten(prediction)} is not a prediction; give what a predictor returned.")
    image_bgr = read_image(image)
    if image_bgr.shape[:2] != prediction.image_size:
        (height, width), (its_height, its_width) = prediction.image_size, image_bgr.shape[:2]
        raise UsageError(
            f"the image has {its_width} x {its_height} pixels, but the prediction is for one of "
            f"{width} x {height}; give that image."
        )
    marks = replace(prediction.marks(), trails=trails)
    return draw_marks(image_bgr, marks, AUTOMATIC.with_changes(options))


@with_keywords(DrawOptions)
def save(
    path: str | os.PathLike[str],
    image: ImageSource,
    prediction: Prediction,
    *,
    trails: tuple[TrailMark, ...] = (),
    **options: Any,
) -> None:
    """Writes an image with its prediction drawn on it, as ``yolo-max predict`` does.

    Args:
        path: Where to; its suffix decides the format. Missing folders are made.
        image: As for `draw`.
        prediction: As for `draw`.
        trails: As for `draw`.
        **options: As for `draw`.

    Raises:
        UsageError: The image's size is not the prediction's, or the suffix is not of a format that can be
            written.
        ImageError: The image cannot be read.
        OutputError: The file cannot be written.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"the path is {shorten(path)}, but it must be text or a Path.")
    write_image(Path(path), draw(image, prediction, trails=trails, **options))


def save_crops(folder: Path, stem: str, image: ImageSource, prediction: Prediction) -> list[Path]:
    """Writes a picture of each object of an image; see `yolo_max.predict.result.Result.save_crop`."""
    image_bgr = read_image(image)
    written = []
    for mark in prediction.marks().boxes:
        pixels = crop(image_bgr, mark)
        if pixels.size:
            places = folder / folder_of(prediction.names[mark.class_id])
            place = _free(places, stem)
            write_atomically(place, encode_crop(pixels))
            written.append(place)
    return written


def _free(folder: Path, stem: str) -> Path:
    names = (f"{stem}-{number}.jpg" if number > 1 else f"{stem}.jpg" for number in count(1))
    try:
        return next(folder / name for name in names if not (folder / name).exists())
    except OSError as error:  # for example a name that is too long
        raise cannot_write(folder / f"{stem}.jpg", error) from error


INLINE = 1280
"""The longer side of a picture in a notebook, at most, in pixels: it is kept in the notebook's file."""


def inline(image_bgr: NDArray[np.uint8]) -> str:
    """A picture as an element of HTML that holds it.

    Args:
        image_bgr: uint8 [H, W, 3] BGR.
    """
    data = b64encode(encode_image(shrunk(image_bgr, INLINE), ".jpg")).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" style="max-width: 100%">'
