"""Result: what became of one image of a stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.read import ImageSource
from yolo_max.predict.picture import draw, save
from yolo_max.support.errors import ImageError, UsageError
from yolo_max.support.options import DrawOptions, with_keywords
from yolo_max.tasks.contract import Prediction


@dataclass(repr=False)
class Result:
    """What became of one image of a stream.

    As a string it is a line: the image, and what was found in it or why it could not be read.

    Attributes:
        source: The image as it was given.
        prediction: What was found; None when the image could not be read.
        error: Why the image could not be read; None when it was.
        image: uint8 [H, W, 3] BGR, the image as displayed, when the stream was asked to keep it.
        times_ms: Milliseconds spent on this image by stage: decode, letterbox, infer (the batch's time over
            its images), postprocess. Where several images were under way at once they add up to more than
            the run took.
    """

    source: ImageSource
    prediction: Prediction | None = None
    error: ImageError | None = None
    image: NDArray[np.uint8] | None = None
    times_ms: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        path = self.source if isinstance(self.source, str | os.PathLike) else None
        name = f"<{type(self.source).__name__}>" if path is None else os.fspath(path)
        return f"{name}: {self.error.reason if self.error else self.prediction}"

    def __repr__(self) -> str:
        return f"<Result: {self}>"

    @with_keywords(DrawOptions)
    def plot(self, **options: Any) -> NDArray[np.uint8]:
        """The image with what was found drawn on a copy.

        An image that the stream did not keep is read once more.

        Args:
            **options: See `yolo_max.support.options.DrawOptions`.

        Returns:
            uint8 [H, W, 3] BGR.

        Raises:
            ImageError: The image could not be read, or cannot be read any more.
        """
        return draw(*self._pair(), **options)

    @with_keywords(DrawOptions)
    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Writes the image with what was found drawn on it, as ``yolo-max predict`` does.

        Args:
            path: Where to; the suffix says in which format. Missing folders are made.
            **options: As for `plot`.

        Raises:
            ImageError: As for `plot`.
            UsageError: The suffix is of no format that can be written.
            OutputError: The file cannot be written.
        """
        save(path, *self._pair(), **options)

    def _pair(self) -> tuple[ImageSource, Prediction]:
        if self.error:
            raise self.error
        if self.prediction is None:
            raise UsageError("the result has no prediction yet; take it from a stream.")
        return self.source if self.image is None else self.image, self.prediction


@contextmanager
def timed(result: Result, stage: str) -> Iterator[None]:
    """Notes the milliseconds that a ``with`` block takes as the result's time for a stage."""
    start = perf_counter()
    yield
    result.times_ms[stage] = (perf_counter() - start) * 1000
