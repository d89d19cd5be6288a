"""PendingImage: one image between its source and its prediction.

source ──prepare──► canvas ──infer──► raw outputs ──decode──► prediction
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolo_max.images.decoded import Decoded
from yolo_max.images.frame import Frame
from yolo_max.images.read import ImageSource, Picture, read_image, read_picture
from yolo_max.images.transforms import Fit, Transform
from yolo_max.predict.result import Result, contained, timed
from yolo_max.support.errors import ImageError, UsageError
from yolo_max.support.text import shorten
from yolo_max.tasks.contract import Decoder, Outputs

Network = Callable[[NDArray[np.uint8]], Sequence[Outputs]]


@dataclass
class PendingImage:
    """One image and how far it has come.

    Attributes:
        result: Collects stage times, and in the end the prediction or the error.
        canvas: uint8 [H, W, 3] RGB; None if the image cannot be read, and after inference.
        transform: Where the image lies in the canvas.
        outputs: The network's raw outputs, until they are decoded.
    """

    result: Result
    canvas: NDArray[np.uint8] | None = None
    transform: Transform | None = None
    outputs: Outputs | None = None

    @property
    def live(self) -> bool:
        """Whether it is the newest frame of a live source."""
        return self.result.live

    @classmethod
    def prepare(
        cls,
        source: ImageSource | Frame,
        fit: Fit,
        *,
        max_pixels: int,
        keep_image: bool = False,
    ) -> PendingImage:
        """Reads an image and renders its canvas; if it cannot be read, its result holds the error.

        Args:
            source: The image, or a frame of a video.
            fit: Gives the transform for the image's size.
            max_pixels: Larger images are refused.
            keep_image: Whether the result carries the decoded image.
        """
        transform = None
        if isinstance(source, Frame) and isinstance(source.load, Decoded) and not keep_image:
            result = Result(source.source, frame=source.position)
            try:
                with contained(result, "letterbox"):
                    transform = fit(source.load.size)
            except ImageError as error:
                result.error = error
                return cls(result)
            source = replace(source, load=partial(source.load, transform.rows))
        result, image = read(source, max_pixels=max_pixels, keep_image=keep_image)
        pending = cls(result)
        if image is not None:
            try:
                with contained(result, "letterbox"):
                    pending.transform = transform or fit((image.shape[0], image.shape[1]))
                    pending.canvas = pending.transform.render(image)
            except ImageError as error:
                result.error = error
        return pending

    def decode(self, decoder: Decoder) -> None:
        """Decodes the raw outputs, if there are any, into the result's prediction."""
        if self.outputs is None or self.transform is None:
            return
        with timed(self.result, "postprocess"):
            self.result.prediction = prediction = decoder(self.outputs, self.transform)
        found = sum(prediction.counts().values())
        self.result.max_det_reached = decoder.limit is not None and found >= decoder.limit
        self.outputs = None


def read(
    source: ImageSource | Frame, *, max_pixels: int, keep_image: bool = False
) -> tuple[Result, NDArray[np.uint8] | None]:
    """Reads an image, uint8 [H, W, 3] BGR; None if it cannot be read, and the result holds the error.

    Args:
        source: The image, or a frame of a video.
        max_pixels: Larger images are refused.
        keep_image: Whether the result carries the decoded image.
    """
    if isinstance(source, Frame):
        result, read_again = Result(source.source, frame=source.position), source.load
    else:
        result, read_again = Result(source), partial(read_image, source, max_pixels=max_pixels)
    try:
        with contained(result, "decode"):
            if isinstance(source, Frame):
                picture = Picture(source.load())
            else:
                picture = read_picture(source, max_pixels=max_pixels)
    except ImageError as error:
        result.error = error
        return result, None
    if isinstance(source, Frame):
        result.times_ms["decode"] += source.decode_ms
    result.frames = picture.frames
    if keep_image:
        result.keep(picture.pixels, read_again)
    return result, picture.pixels


def infer(batch: Sequence[PendingImage], network: Network) -> None:
    """Runs the network once on all images of a batch that have a canvas; their canvases share one shape.

    Args:
        batch: Each image gets its outputs and drops its canvas.
        network: Gives the raw outputs of each image of a batch.
    """
    batch = [pending for pending in batch if pending.canvas is not None]
    if not batch:
        return
    start = perf_counter()
    canvases = [pending.canvas for pending in batch if pending.canvas is not None]
    outputs = network(canvases[0][None] if len(canvases) == 1 else np.stack(canvases))
    each = (perf_counter() - start) * 1000 / len(batch)
    for pending, its_outputs in zip(batch, outputs, strict=True):
        pending.outputs, pending.canvas = its_outputs, None
        pending.result.times_ms["infer"] = each


def require_several(sources: object) -> None:
    """Refuses a single source where several are needed.

    Raises:
        UsageError: It is one, or nothing that can be iterated over.
    """
    if (one := _name_of_one(sources)) is not None:
        raise UsageError(
            f"a stream takes several images, and {one} is one source; give a list, or for a folder "
            "Path(folder).iterdir()."
        )


def _name_of_one(sources: object) -> str | None:
    """A name for something that is a single source, not several; None for several."""
    if isinstance(sources, str | os.PathLike):
        return repr(os.fspath(sources))
    if isinstance(sources, bytes | bytearray | memoryview):
        return "a file's bytes"
    if isinstance(sources, Image.Image):
        return "a PIL image"
    if isinstance(sources, np.ndarray) and sources.dtype != object and sources.ndim < 4:
        return f"an array of {sources.ndim} dimensions"
    return None if isinstance(sources, Iterable) else shorten(sources)
